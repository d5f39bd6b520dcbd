"""What int8 gains on a device, and whether an int8 table foretells it.

    python benchmarks/int8.py [--device local] [--space vgg9] [--input 3x84x84] [--networks 20]

Random networks of a space run on the device as exported and as quantised files, taking turns, and
so do all their layers alone in both dtypes. Printed: how much faster int8 is, and how far the sums
of layers are from the whole networks, in each dtype. The weights are random, so accuracy is not
asked here; `metanas quantise RUN --device NAME --episodes 600` tells it of a trained network.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from metanas.cli.quantities import image_shape
from metanas.deploy import quantise
from metanas.devices import Device, open_device
from metanas.profiling import CALL, network_model
from metanas.spaces import SearchSpace, make_space
from metanas_agent.layers import DTYPES, LayerSpec
from metanas_agent.timer import TimerSettings

CALIBRATION_IMAGES = 5


@dataclass(frozen=True, slots=True)
class Timed:
    """One network in one dtype: measured as a whole, and the sum of its layers."""

    measured_ms: float
    predicted_ms: float

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return abs(self.predicted_ms / self.measured_ms - 1)


def main() -> None:
    options = arguments()
    spaces = {
        dtype: make_space(options.space, input_shape=options.input, ways=5, dtype=dtype)
        for dtype in DTYPES
    }
    rng = np.random.default_rng(options.seed)
    texts = [
        str(spaces["float32"].from_genes(row))
        for row in spaces["float32"].sample(options.networks, rng)
    ]
    settings = TimerSettings(budget_ms=options.budget_ms, seed=options.seed)
    with closing(open_device(options.device)) as device:
        rows = {dtype: layer_ms(device, space, texts, settings) for dtype, space in spaces.items()}
        whole = list(networks_ms(device, spaces["float32"], texts, settings))
    found = {}
    for dtype, space in spaces.items():
        sums = [predicted_ms(rows[dtype], layers_of(space, text)) for text in texts]
        found[dtype] = [Timed(each[dtype], total) for each, total in zip(whole, sums, strict=True)]
    result = figures(found)
    print(json.dumps(result, indent=2) if options.json else "\n".join(told(result)))


def layers_of(space: SearchSpace[Any], text: str) -> tuple[LayerSpec, ...]:
    return space.layers(space.parse(text))


def layer_ms(
    device: Device, space: SearchSpace[Any], texts: Iterable[str], settings: TimerSettings
) -> dict[str, float]:
    """Latency of the call and of every layer that the networks have, the faster of two timings."""
    layers = {CALL.key: CALL}
    layers |= {layer.key: layer for text in texts for layer in layers_of(space, text)}
    fastest: dict[str, float] = {}
    for _ in range(2):
        for row in device.measure(list(layers.values()), settings):
            fastest[row.key] = min(row.median_ms, fastest.get(row.key, row.median_ms))
    return fastest


def predicted_ms(rows: dict[str, float], layers: Iterable[LayerSpec]) -> float:
    """As a table predicts a network."""
    call = rows[CALL.key]
    return call + sum(max(rows[layer.key] - call, 0.0) for layer in layers)


def networks_ms(
    device: Device, space: SearchSpace[Any], texts: Iterable[str], settings: TimerSettings
) -> Iterator[dict[str, float]]:
    """Latency of each network in both dtypes, the faster of two timings that take turns."""
    rng = np.random.default_rng(settings.seed)
    images = rng.standard_normal((CALIBRATION_IMAGES, *space.input_shape), np.float32)
    for text in texts:
        model = network_model(space, space.parse(text), seed=settings.seed)
        files = {"float32": model, "int8": quantise(model, images)}
        timings: dict[str, list[float]] = {dtype: [] for dtype in files}
        for _ in range(2):
            for dtype, file in files.items():
                run = device.run_model(file, images[:1], settings)
                timings[dtype].append(run.latency.median_ms)
        yield {dtype: min(values) for dtype, values in timings.items()}


def figures(found: dict[str, list[Timed]]) -> dict[str, Any]:
    ratios = sorted(
        plain.measured_ms / quantised.measured_ms
        for plain, quantised in zip(found["float32"], found["int8"], strict=True)
    )
    result: dict[str, Any] = {
        "networks": len(ratios),
        "speed_up": {
            "median": statistics.median(ratios),
            "least": ratios[0],
            "most": ratios[-1],
            "faster_than_float32": sum(ratio > 1 for ratio in ratios),
        },
    }
    for dtype, timed in found.items():
        errors = [each.error for each in timed]
        result[dtype] = {
            "measured_ms": [min(t.measured_ms for t in timed), max(t.measured_ms for t in timed)],
            "median_error": statistics.median(errors),
            "mean_error": statistics.fmean(errors),
            "worst_error": max(errors),
            "within_10_percent": sum(error <= 0.1 for error in errors),
        }
    return result


def told(result: dict[str, Any]) -> Iterator[str]:
    gain, count = result["speed_up"], result["networks"]
    yield (
        f"int8 is {gain['median']:.2f} times as fast as float32 (median of {count} networks; "
        f"{gain['least']:.2f} to {gain['most']:.2f}), faster in {gain['faster_than_float32']}"
    )
    for dtype in DTYPES:
        told_of = result[dtype]
        least, most = told_of["measured_ms"]
        yield (
            f"{dtype}: {least:.3g} to {most:.3g} ms; sums of layers are off by "
            f"{told_of['median_error']:.1%} (median), {told_of['mean_error']:.1%} (mean), "
            f"{told_of['worst_error']:.1%} (worst); {told_of['within_10_percent']} of {count} "
            "within 10%"
        )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--device", default="local")
    parser.add_argument("--space", default="vgg9")
    parser.add_argument("--input", type=image_shape, default=(3, 84, 84))
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--budget-ms", type=float, default=100.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
