"""The simulated Eyeriss: against SCALE-Sim, against the chip, and against plain MACs.

    python benchmarks/eyeriss.py [--layers 300] [--networks 10000] [--input 1x28x28]

1. Layers through SCALE-Sim (`metanas[scalesim]`; without it this part is left out) and through the
   closed form: how many differ, and what the simulator would take for the whole VGG9 table.
2. How long whole tables take in closed form, every dataflow.
3. AlexNet, batch 4, row-stationary and as SCALE-Sim counts, beside the chip's own times.
4. Ranks of VGG9's layers and networks by each dataflow and by plain MACs: do they agree?

Times are of the processor, which others on the machine lengthen less.

eyeriss_nn_dataflow.py compares with nn-dataflow.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from input_shape import input_shape
from metanas.devices import open_device
from metanas.errors import ExtraMissingError
from metanas.spaces import SearchSpace, make_space
from metanas_agent.layers import LayerSpec
from metanas_simulators import (
    SYSTOLIC_DATAFLOWS,
    Convolution,
    RowStationaryArray,
    ScaleSim,
    SimulatedDevice,
    Simulator,
    SystolicArray,
    convolution_of,
)

Values = NDArray[np.float64]

QUICK_CYCLES = 2000
"""Layers of more are not simulated here: a cycle takes some 100 us."""

ALIKE = 0.05
"""Networks are, whose MACs differ from the median by at most this share."""

ALEXNET = {
    # out side, kernel side, in channels, filters, stride, groups, ms of a batch of 4 on the chip
    "conv1": (55, 11, 3, 96, 4, 1, 16.5),
    "conv2": (27, 5, 48, 128, 1, 2, 39.2),
    "conv3": (13, 3, 256, 384, 1, 1, 21.8),
    "conv4": (13, 3, 192, 192, 1, 2, 16.0),
    "conv5": (13, 3, 192, 128, 1, 2, 10.0),
}
"""Chen et al., JSSC 2017: processing times at 200 MHz."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--layers", type=int, default=300, help="to simulate, over all dataflows")
    parser.add_argument("--networks", type=int, default=10_000, help="to rank")
    parser.add_argument("--input", type=input_shape, default=(1, 28, 28), metavar="CxHxW")
    options = parser.parse_args()
    simulators = all_simulators()
    spaces = {
        name: make_space(name, input_shape=options.input, ways=5) for name in ("vgg9", "resnet12")
    }
    against_scale_sim(simulators, spaces["vgg9"].all_layers, options.layers)
    for name, space in spaces.items():
        table_times(name, simulators, space.all_layers)
    against_the_chip(simulators)
    ranks(simulators, spaces["vgg9"], options.networks)


def all_simulators() -> dict[str, Simulator]:
    """Of Eyeriss, by dataflow."""
    device = open_device("eyeriss")
    assert isinstance(device, SimulatedDevice)
    array = device.simulator.accelerator
    found: dict[str, Simulator] = {
        dataflow: SystolicArray(replace(array, dataflow=dataflow))
        for dataflow in SYSTOLIC_DATAFLOWS
    }
    return found | {"rs": RowStationaryArray(replace(array, dataflow="rs"))}


def distinct(layers: tuple[LayerSpec, ...]) -> list[Convolution]:
    return list(dict.fromkeys(found for layer in layers if (found := convolution_of(layer))))


def counted(simulator: Simulator, convolutions: list[Convolution]) -> Values:
    return np.array(list(simulator.cycles(convolutions)), np.float64)


def against_scale_sim(
    simulators: dict[str, Simulator], layers: tuple[LayerSpec, ...], count: int
) -> None:
    every = distinct(layers)
    rng = np.random.default_rng(0)
    tried, different, seconds, simulated, whole = 0, 0, 0.0, 0, 0
    for dataflow in SYSTOLIC_DATAFLOWS:
        form = simulators[dataflow]
        try:
            simulator = ScaleSim(form.accelerator)
        except ExtraMissingError as error:
            print(f"SCALE-Sim: left out, since {error.what}")
            return
        cycles = counted(form, every)
        whole += int(cycles.sum())
        quick = np.flatnonzero(cycles <= QUICK_CYCLES)
        chosen = [every[at] for at in rng.permutation(quick)[: count // len(SYSTOLIC_DATAFLOWS)]]
        chosen += random_layers(form, count // len(SYSTOLIC_DATAFLOWS) - len(chosen), rng)
        for layer in chosen:
            (expected,) = form.cycles([layer])
            started = time.process_time()
            found = simulator.simulate(layer).cycles
            seconds += time.process_time() - started
            simulated += found
            tried += 1
            different += found != expected
    a_cycle = seconds / simulated
    print(
        f"SCALE-Sim: {tried} layers, {different} with other cycles than the closed form; "
        f"{a_cycle * 1e6:.0f} us a simulated cycle, so {len(every)} layers of VGG9 would take "
        f"{whole * a_cycle / 3600:.1f} h in three dataflows"
    )


def random_layers(form: Simulator, count: int, rng: np.random.Generator) -> list[Convolution]:
    """What a space has too few quick layers for."""
    found: list[Convolution] = []
    while len(found) < count:
        kernel, extra, stride = (int(rng.integers(1, most)) for most in (6, 10, 4))
        side, channels = kernel + extra, (2 ** rng.uniform(0, 6, 2)).astype(int).tolist()
        layer = Convolution(
            name="random",
            height=side,
            width=side,
            kernel_height=kernel,
            kernel_width=kernel,
            in_channels=channels[0],
            out_channels=channels[1],
            stride=stride,
        )
        found += [layer] if next(form.cycles([layer])) <= QUICK_CYCLES else []
    return found


def table_times(name: str, simulators: dict[str, Simulator], layers: tuple[LayerSpec, ...]) -> None:
    kinds = list({found: layer for layer in layers if (found := convolution_of(layer))}.values())

    def whole_table(some: list[LayerSpec]) -> None:
        convolutions = [found for layer in some if (found := convolution_of(layer))]
        for simulator in simulators.values():
            for cycles in simulator.cycles(convolutions):
                simulator.origin.latency_ms(cycles)

    print(
        f"{name}: {len(kinds)} distinct convolutions and heads in {len(simulators)} dataflows: "
        f"{best_ms(lambda: whole_table(kinds)):.1f} ms; "
        f"all {len(layers)} rows: {best_ms(lambda: whole_table(list(layers))):.1f} ms"
    )


def best_ms(step: Callable[[], None]) -> float:
    times = []
    for _ in range(10):
        started = time.process_time()
        step()
        times.append(time.process_time() - started)
    return min(times) * 1e3


def against_the_chip(simulators: dict[str, Simulator]) -> None:
    print(f"AlexNet, batch 4, ms{'chip':>10}" + "".join(f"{name:>14}" for name in simulators))
    chip, sums = 0.0, dict.fromkeys(simulators, 0.0)
    for layer, (out, kernel, channels, filters, stride, groups, measured) in ALEXNET.items():
        side = (out - 1) * stride + kernel
        convolution = Convolution(
            name=layer,
            height=side,
            width=side,
            kernel_height=kernel,
            kernel_width=kernel,
            in_channels=channels,
            out_channels=filters,
            stride=stride,
        )
        chip += measured
        times = {
            name: 4 * groups * simulator.origin.latency_ms(next(simulator.cycles([convolution])))
            for name, simulator in simulators.items()
        }
        sums = {name: sums[name] + times[name] for name in sums}
        print(beside_the_chip(layer, measured, times))
    print(beside_the_chip("all", chip, sums))


def beside_the_chip(what: str, measured: float, times: dict[str, float]) -> str:
    return f"{what:19}{measured:10.1f}" + "".join(
        f"{ms:7.1f} {ms / measured - 1:+6.0%}" for ms in times.values()
    )


def ranks(simulators: dict[str, Simulator], space: SearchSpace[Any], networks: int) -> None:
    """Of layers, of whole networks, and of those whose MACs tell little: they are alike."""
    convolutions = [convolution_of(layer) for layer in space.all_layers]
    computed = [each for each in convolutions if each]
    counts = {"MACs": np.array([each.macs for each in computed], np.float64)}
    counts |= {name: counted(simulator, computed) for name, simulator in simulators.items()}
    genes = space.sample(networks, np.random.default_rng(0))
    sums = {}
    for name, values in counts.items():
        of_all = np.zeros(len(convolutions))
        of_all[[each is not None for each in convolutions]] = values
        sums[name] = space.sum_over_layers(genes, of_all)
    layers = dict(zip(counts, np.unique(np.array(list(counts.values())), axis=1), strict=True))
    alike = np.abs(sums["MACs"] / np.median(sums["MACs"]) - 1) <= ALIKE
    near = {name: values[alike] for name, values in sums.items()}
    shown = {
        f"{len(layers['rs'])} layers": layers,
        f"{networks} networks": sums,
        f"{alike.sum()} networks of alike MACs": near,
    }
    for what, compared in shown.items():
        print(f"Spearman, {what}\n{'':5}" + "".join(f"{name:>8}" for name in compared))
        for name, ours in compared.items():
            row = (spearman(ours, others) for others in compared.values())
            print(f"{name:>5}" + "".join(f"{correlation:8.3f}" for correlation in row))
    rates = {name: np.percentile(sums["MACs"] / sums[name], [5, 95]) for name in simulators}
    print("MACs a cycle, 5% to 95% of the networks: ", end="")
    print(", ".join(f"{name} {low:.0f} to {high:.0f}" for name, (low, high) in rates.items()))


def spearman(first: Values, second: Values) -> float:
    return float(np.corrcoef(rank(first), rank(second))[0, 1])


def rank(values: Values) -> Values:
    """Ranks; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse].astype(np.float64)


if __name__ == "__main__":
    main()
