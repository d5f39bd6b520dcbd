"""Native kernels against ONNX Runtime: every convolution of VGG9, on this machine, one thread each.

    python benchmarks/native_layers.py [--sample 100] [--out layers.jsonl] [--rounds 3]

Two agents of this machine, one with the runtime `onnx` and one with `native` (the same schedules
as for the boards, for x86-64), are asked in turns for the same few layers, so that both see the
same disturbances. A layer is a convolution with bias and activation, then 2x2 max-pooling. Its
`ratio` is native by ONNX Runtime: the median over the rounds, each with its own pair of medians.

What is measured is kept in --out, a line a layer; the same command goes on where it was stopped.
At most 1.15 is wanted as the median over the layers, and 2 as the worst.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metanas.devices import Device, LocalAgent
from metanas.files import append_json_line, read_json_lines
from metanas.native import NativeArtifacts
from metanas.spaces import make_space
from metanas_agent.layers import ConvLayer, parse_layer
from metanas_agent.timer import TimerSettings

INPUT_SHAPES = ((1, 28, 28), (3, 84, 84))
TURN = 10  # layers that one agent is asked for before it is the other's turn
WANTED_MEDIAN, WANTED_WORST = 1.15, 2.0


def main() -> None:
    options = parse_options()
    layers = choose_layers(options.sample, options.seed)
    known = {row["key"]: row for row in read_json_lines(options.out)}
    settings = TimerSettings(budget_ms=options.budget_ms)
    missing = [layer for layer in layers if layer.key not in known]
    with (
        LocalAgent("onnx", runtime="onnx") as onnx,
        LocalAgent("native", runtime="native", artifacts=NativeArtifacts("x86-64")) as native,
    ):
        for start in range(0, len(missing), TURN):
            turn = missing[start : start + TURN]
            for row in compare(turn, onnx, native, settings, options.rounds):
                append_json_line(options.out, row)
                known[row["key"]] = row
            print(f"\r{len(known)} of {len(layers)} layers", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(report([known[layer.key] for layer in layers]))


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=0, help="layers a picture size; 0 is all")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--budget-ms", type=float, default=40.0, help="a layer, agent and round")
    parser.add_argument("--out", type=Path, default=Path("native_layers.jsonl"))
    return parser.parse_args()


def choose_layers(sample: int, seed: int) -> list[ConvLayer]:
    """Distinct convolutions of the spaces, in an order that mixes sizes."""
    shuffle = random.Random(seed)
    chosen = []
    for shape in INPUT_SHAPES:
        space = make_space("vgg9", input_shape=shape, ways=5)
        layers = [layer for layer in space.all_layers if isinstance(layer, ConvLayer)]
        shuffle.shuffle(layers)
        chosen += layers[: sample or None]
    return chosen


def compare(
    layers: Iterable[ConvLayer], onnx: Device, native: Device, settings: TimerSettings, rounds: int
) -> list[dict[str, Any]]:
    layers = list(layers)
    times: dict[str, dict[str, list[float]]] = {
        layer.key: {"onnx_ms": [], "native_ms": []} for layer in layers
    }
    for _ in range(rounds):
        for name, device in (("onnx_ms", onnx), ("native_ms", native)):
            for measurement in device.measure(layers, settings):
                times[measurement.key][name].append(measurement.median_ms)
    return [{"key": key, "ratios": ratios_of(row), **row} for key, row in times.items()]


def ratios_of(row: dict[str, list[float]]) -> list[float]:
    pairs = zip(row["native_ms"], row["onnx_ms"], strict=True)
    return [round(native / onnx, 4) for native, onnx in pairs]


def report(rows: list[dict[str, Any]]) -> str:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        layer = parse_layer(row["key"])
        assert isinstance(layer, ConvLayer)
        groups[f"kernel {layer.kernel}"].append(row)
        groups[layer.activation].append(row)
        groups[f"map {layer.height}x{layer.width}"].append(row)
    head = f"{'':14}{'layers':>8}{'median':>8}{'5%':>8}{'95%':>8}{'worst':>8}{'spread':>8}"
    lines = [head, line("all", rows), *(line(name, groups[name]) for name in sorted(groups))]
    worst = sorted(rows, key=lambda row: statistics.median(row["ratios"]))[-3:]
    lines += ["", "spread: half the range of a layer's rounds by its ratio, median over the layers"]
    lines += [f"worst: {row['key']} {row['ratios']}" for row in reversed(worst)]
    ratios = [statistics.median(row["ratios"]) for row in rows]
    reached = statistics.median(ratios) <= WANTED_MEDIAN and max(ratios) <= WANTED_WORST
    goal = f"median <= {WANTED_MEDIAN}, worst <= {WANTED_WORST}"
    lines.append(f"{goal}: {'reached' if reached else 'not reached'}")
    return "\n".join(lines)


def line(name: str, rows: list[dict[str, Any]]) -> str:
    ratios = sorted(statistics.median(row["ratios"]) for row in rows)
    spread = statistics.median(
        (max(row["ratios"]) - min(row["ratios"])) / 2 / statistics.median(row["ratios"])
        for row in rows
    )
    share = [ratios[round(part * (len(ratios) - 1))] for part in (0.5, 0.05, 0.95, 1.0)]
    return (
        f"{name:14}{len(rows):8}" + "".join(f"{value:8.2f}" for value in share) + f"{spread:8.1%}"
    )


if __name__ == "__main__":
    main()
