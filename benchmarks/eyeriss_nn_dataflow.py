"""Row-stationary cycles by nn-dataflow, into a file that the tests compare the closed form with.

    python3 -m venv peer && peer/bin/pip install nn-dataflow 'sympy<=1.9'
    python benchmarks/eyeriss_nn_dataflow.py --python peer/bin/python \
        --out tests/simulators/nn_dataflow.tsv [--images 1x28x28 3x84x84] [--sample N]

Every distinct convolution and head of VGG9 goes through nn-dataflow's schedule search, on Eyeriss's
array with buses and DRAM that never stall.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import numpy as np

from input_shape import input_shape
from metanas.devices import open_device
from metanas.files import write_text
from metanas.spaces import make_space
from metanas_simulators import Convolution, SimulatedDevice, convolution_of

PEER = Path(__file__).with_name("nn_dataflow_cycles.py")
SIZES = ("out_height", "out_width", "kernel_height", "kernel_width", "in_channels", "out_channels")
COLUMNS = (*SIZES, "stride", "cycles")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="an interpreter that has nn-dataflow")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=input_shape, nargs="+", default=[(1, 28, 28), (3, 84, 84)])
    parser.add_argument("--sample", type=int, help="of so many layers, instead of all")
    options = parser.parse_args()
    device = open_device("eyeriss-rs")
    assert isinstance(device, SimulatedDevice)
    array = device.simulator.accelerator
    layers = convolutions(options.images)
    if options.sample:
        chosen = np.random.default_rng(0).permutation(len(layers))[: options.sample]
        layers = [layers[at] for at in sorted(chosen)]
    version, cycles = ask(options.python, (array.rows, array.columns), layers)
    head = f"# nn-dataflow {version}, {array.rows} x {array.columns}, by {Path(__file__).name}"
    lines = [
        "\t".join(map(str, (*sizes_of(layer), count)))
        for layer, count in zip(layers, cycles, strict=True)
    ]
    write_text(options.out, "\n".join([head, "\t".join(COLUMNS), *lines, ""]))
    ours = list(device.simulator.cycles(layers))
    different = [
        f"{layer.name}: {theirs}, here {own}"
        for layer, theirs, own in zip(layers, cycles, ours, strict=True)
        if theirs != own
    ]
    print("\n".join([f"{len(layers)} layers, {len(different)} different", *different]))


def convolutions(images: list[tuple[int, int, int]]) -> list[Convolution]:
    """The distinct ones of VGG9 for these image shapes."""
    layers = (
        layer
        for image in images
        for layer in make_space("vgg9", input_shape=image, ways=5).all_layers
    )
    return list(dict.fromkeys(found for layer in layers if (found := convolution_of(layer))))


def sizes_of(layer: Convolution) -> list[int]:
    return [*(getattr(layer, name) for name in SIZES), layer.stride]


def ask(
    python: str, array: tuple[int, int], layers: list[Convolution]
) -> tuple[str, list[int | None]]:
    """Its version, and the cycles of each layer, None where it finds no schedule."""
    asked = {"array": array, "layers": [sizes_of(layer) for layer in layers]}
    done = subprocess.run(
        [python, str(PEER)], input=json.dumps(asked), stdout=subprocess.PIPE, text=True, check=True
    )
    answer = json.loads(done.stdout)
    return answer["version"], answer["cycles"]


if __name__ == "__main__":
    main()
