"""Instructions a multiply-accumulate of a board's layer program, counted by an emulator.

    python benchmarks/native_instructions.py [--target armv6] [--sample 30] [--layer KEY]...

Random 3x3 and 5x5 convolutions of VGG9 (with bias, activation and 2x2 max-pooling, all of it
counted) run in QEMU's user emulation, whose wall clock says nothing of a board, but which counts
every instruction exactly: the difference between several calls and one. At most 2.0 a MAC is wanted
of armv6, whose short vectors compute four MACs an instruction at best, and one a cycle.

Needs an emulator that takes plugins (apt install qemu-user, not qemu-user-static) and a C compiler.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from metanas.native import build_layer_program, find_target
from metanas.spaces import make_space
from metanas_agent.layers import ConvLayer, LayerSpec, parse_layer
from support.instruction_count import NoCounterError, counting_emulator, instructions_per_mac

INPUT_SHAPES = ((1, 28, 28), (3, 84, 84))
WANTED = 2.0
LARGEST_MACS = 60_000_000  # seconds in the emulator


def main() -> None:
    options = parse_options()
    target = find_target(options.target)
    program = build_layer_program(target).path
    layers = [parse_layer(key) for key in options.layer] or choose_layers(options.sample)
    with tempfile.TemporaryDirectory() as folder:
        try:
            command = counting_emulator(target, program, Path(folder))
        except NoCounterError as error:
            sys.exit(str(error))

        def measure(layer: LayerSpec) -> float:
            ratio = instructions_per_mac(command, layer)
            print(f"{layer.key:48}{ratio:6.2f}", flush=True)
            return ratio

        with ThreadPoolExecutor(options.jobs) as pool:
            ratios = list(pool.map(measure, layers))
    print(report(layers, ratios))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--target", default="armv6", choices=("armv6", "armv7", "aarch64"))
    parser.add_argument("--sample", type=int, default=30, help="layers a picture size")
    parser.add_argument("--layer", action="append", default=[], help="these instead of a sample")
    parser.add_argument("--jobs", type=int, default=1, help="emulators at the same time")
    return parser.parse_args()


def choose_layers(sample: int) -> list[LayerSpec]:
    shuffle = random.Random(0)
    chosen: list[LayerSpec] = []
    for shape in INPUT_SHAPES:
        layers = [
            layer
            for layer in make_space("vgg9", input_shape=shape, ways=5).all_layers
            if isinstance(layer, ConvLayer) and layer.kernel > 1 and layer.macs <= LARGEST_MACS
        ]
        chosen += shuffle.sample(layers, sample)
    return chosen


def report(layers: list[LayerSpec], ratios: list[float]) -> str:
    groups: dict[str, list[float]] = defaultdict(list)
    for layer, ratio in zip(layers, ratios, strict=True):
        groups["all"].append(ratio)
        groups[f"{layer.in_channels} channels in"].append(ratio)
        if isinstance(layer, ConvLayer):
            groups[f"kernel {layer.kernel}"].append(ratio)
    lines = [f"{'':20}{'layers':>8}{'median':>8}{'worst':>8}{f'<= {WANTED}':>8}"]
    for name, group in groups.items():
        within = sum(ratio <= WANTED for ratio in group) / len(group)
        lines.append(
            f"{name:20}{len(group):8}{statistics.median(group):8.2f}{max(group):8.2f}{within:8.0%}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
