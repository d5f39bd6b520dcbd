"""H-Meta-NAS's table 3, live: OFA's latency predictor beside the layer table, on one device.

    python benchmarks/latency_predictor.py --folder FOLDER [--device local] [--space vgg9]
        [--input 3x84x84] [--largest 3200] [--test 200] [--json]

- `table`: a sweep of the space; then the same, calibrated with whole networks.
- `measured again`: the test set, random whole networks, is measured twice, and this is how well the
  second measurement predicts the first. No estimator can be expected to do better.
- `OFA predictor` (see ofa_predictor.py): trained on 100, 200, 400, ... measured networks, none of
  which is in the test set. Its last row is extrapolated to the 16,000 of the paper: the time from
  the measured cost of a network, the error by a power law through the curve.

`time` is all that an estimator needs: collecting its data, and training. FOLDER keeps what is
measured and how long that took: a run that was stopped or killed goes on there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from covering import first_seen, without
from input_shape import input_shape
from metanas.devices import Device, open_device
from metanas.errors import MetanasError
from metanas.files import read_json_lines, write_json
from metanas.profiling import LatencyTable, NetworkTiming, measure_networks, profile
from metanas.profiling.fidelity import calibrate
from metanas.spaces import SPACES, Genes, SearchSpace, make_space
from metanas_agent.layers import EmptyLayer
from metanas_agent.runtimes.onnx_graph import layer_model
from metanas_agent.timer import TimerSettings
from ofa_predictor import OFAPredictor
from predictor_report import Report, Row, Times, describe, extrapolate, judge

PAPER_NETWORKS = 16_000
CALIBRATING_NETWORKS = 20
CALLS = 9


def main() -> None:
    arguments = parse_arguments()
    torch.set_num_threads(1)
    try:
        with closing(open_device(arguments.device)) as device:
            report = Comparison(arguments, device).run()
    except MetanasError as error:
        sys.exit(f"{error.what}\n{error.hint}")
    except KeyboardInterrupt:
        sys.exit(f"\nstopped; run it again to go on from {arguments.folder}")
    print(json.dumps(asdict(report), indent=2) if arguments.json else describe(report))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A latency predictor beside the layer table.")
    parser.add_argument("--folder", type=Path, required=True, help="keeps what is measured")
    parser.add_argument("--device", default="local")
    parser.add_argument("--space", choices=list(SPACES), default="vgg9")
    parser.add_argument("--input", type=input_shape, default=(3, 84, 84), metavar="CxHxW")
    parser.add_argument("--ways", type=int, default=5)
    parser.add_argument("--smallest", type=int, default=100, help="networks to train on at first")
    parser.add_argument("--largest", type=int, default=3200, help="networks to train on at last")
    parser.add_argument("--test", type=int, default=200, help="networks that are never trained on")
    parser.add_argument("--rounds", type=int, default=2, help="timings of a row or test network")
    parser.add_argument("--training-rounds", type=int, default=1, help="of a network to train on")
    parser.add_argument("--interval", type=float, default=TimerSettings().interval)
    parser.add_argument("--budget-ms", type=float, default=TimerSettings().budget_ms)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not CALIBRATING_NETWORKS <= arguments.smallest <= arguments.largest:
        parser.error(f"choose {CALIBRATING_NETWORKS} <= --smallest <= --largest")
    return arguments


class Stopwatch:
    """Seconds spent on each kind of work, in a file, so that they outlive a kill."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seconds: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}

    @contextmanager
    def running(self, work: str) -> Iterator[Callable[[int, int], None]]:
        """Gives what to tell the progress, which is shown; the seconds are saved on the way."""
        spent_s = self.seconds.get(work, 0.0)
        start = saved = time.monotonic()

        def save() -> None:
            nonlocal saved
            saved = time.monotonic()
            self.seconds[work] = spent_s + saved - start
            write_json(self.path, self.seconds)

        def tick(done: int, total: int) -> None:
            if time.monotonic() > saved + 1:
                save()
                print(f"\r{work}: {done} of {total} timings ", end="", file=sys.stderr, flush=True)

        try:
            yield tick
        finally:
            save()
            print(f"\r{work}: {self.seconds[work]:.1f} s so far{'':20}", file=sys.stderr)


class Comparison:
    """The table and the predictor on one device, judged by one test set."""

    def __init__(self, arguments: argparse.Namespace, device: Device) -> None:
        self.arguments = arguments
        self.device = device
        self.folder: Path = arguments.folder
        self.watch = Stopwatch(self.folder / "seconds.json")
        self.settings = TimerSettings(interval=arguments.interval, budget_ms=arguments.budget_ms)
        self.space: SearchSpace[Any] = make_space(
            arguments.space, input_shape=arguments.input, ways=arguments.ways
        )
        rng = np.random.default_rng(arguments.seed)
        drawn = self.space.sample(20 * arguments.test, rng)
        self.test = drawn[first_seen(drawn)[: arguments.test]]
        drawn = self.space.sample(20 * (arguments.largest + 1), rng)
        # What is drawn twice is learnt twice, as the space's own draws are, but measured once.
        self.training = without(drawn, self.test)
        self.ends = first_seen(self.training)

    def run(self) -> Report:
        table = self.sweep()
        test = self.measure("test", self.test, self.arguments.rounds)
        self.test_ms = medians(test)
        genes = self.training[: self.ends[self.arguments.largest]]
        training = self.measure("training", genes, self.arguments.training_rounds)
        again = self.measure("test again", self.test, self.arguments.rounds)
        network_s, alone_s = self.cost_of_a_network()
        curve = list(self.curve(medians(training), network_s))
        description, sentinel = self.device.describe(), table.header.sentinel
        assert sentinel
        return Report(
            device=f"{description.name}: {description.processor}",
            space=self.space.settings,
            table=self.judge_table(table, medians(training), network_s),
            again=self.judge(
                "measured again", len(again), self.watch.seconds["test again"], medians(again)
            ),
            curve=curve,
            extrapolated=extrapolate(curve, PAPER_NETWORKS),
            network_s=network_s,
            network_alone_s=max(alone_s, samples_s(training)),
            sentinel_spread=sentinel.spread,
            pace=float(np.median([timing.sentinel_ms for timing in test])) / sentinel.median_ms,
        )

    def sweep(self) -> LatencyTable:
        with self.watch.running("table") as tick:
            return profile(
                self.device,
                self.space,
                self.settings,
                self.folder / "table.tsv",
                rounds=self.arguments.rounds,
                seed=self.arguments.seed,
                on_progress=lambda progress: tick(progress.done, progress.total),
            )

    def measure(self, work: str, genes: Genes, rounds: int) -> tuple[NetworkTiming, ...]:
        with self.watch.running(work) as tick:
            return measure_networks(
                self.device,
                self.space,
                genes,
                self.settings,
                self.journal(work),
                rounds=rounds,
                seed=self.arguments.seed,
                on_progress=tick,
            )

    def journal(self, work: str) -> Path:
        return self.folder / f"{work.replace(' ', '-')}.jsonl"

    def cost_of_a_network(self) -> tuple[float, float]:
        """Seconds that measuring one to train on took, and those without calling the device."""
        spent_s = self.watch.seconds["training"]
        timings = read_json_lines(self.journal("training"))[1:]  # of an earlier run's networks too
        networks = {timing["row"]["key"] for timing in timings if "row" in timing}
        calling_s = len(timings) * self.cost_of_a_call()
        return spent_s / len(networks), (spent_s - calling_s) / len(networks)

    def cost_of_a_call(self) -> float:
        """Seconds to have a model run that does nothing: the start of a process, most of it."""
        layer = EmptyLayer(*self.space.input_shape)
        model = layer_model(layer, np.random.default_rng()).SerializeToString()
        image = np.ones((1, *self.space.input_shape), np.float32)
        seconds = []
        for _ in range(CALLS):
            start = time.monotonic()
            self.device.run_model(model, image, TimerSettings(budget_ms=1, min_samples=1))
            seconds.append(time.monotonic() - start)
        return median(seconds)

    def curve(self, training_ms: Times, network_s: float) -> Iterator[Row]:
        """The predictor with more and more networks."""
        size = self.arguments.smallest
        while True:
            end = self.ends[size]
            start = time.monotonic()
            predictor = OFAPredictor(self.space, seed=self.arguments.seed)
            predictor.fit(self.training[:end], training_ms[:end])
            time_s = size * network_s + time.monotonic() - start
            yield self.judge("OFA predictor", size, time_s, predictor.predict(self.test))
            if size == self.arguments.largest:
                return
            size = min(2 * size, self.arguments.largest)

    def judge_table(self, table: LatencyTable, training_ms: Times, network_s: float) -> list[Row]:
        time_s = self.watch.seconds["table"]
        predicted_ms = table.latency_ms(self.space, self.test)
        few = self.ends[:CALIBRATING_NETWORKS]
        sums_ms = table.latency_ms(self.space, self.training[few])
        line = calibrate(sums_ms, training_ms[few]).calibration
        calibrated_ms = line.scale * predicted_ms + line.offset_ms
        return [
            self.judge("table", 0, time_s, predicted_ms),
            self.judge("table, calibrated", len(few), time_s + len(few) * network_s, calibrated_ms),
        ]

    def judge(self, estimator: str, networks: int, time_s: float, predicted_ms: Times) -> Row:
        return judge(estimator, networks, time_s, predicted_ms, self.test_ms)


def medians(timings: Sequence[NetworkTiming]) -> Times:
    return np.array([timing.latency.median_ms for timing in timings])


def samples_s(timings: Sequence[NetworkTiming]) -> float:
    """Mean time that the samples of a network took."""
    rows = {timing.architecture: timing.latency for timing in timings}.values()
    return sum(row.samples * row.repeats * row.median_ms for row in rows) / 1e3 / len(rows)


if __name__ == "__main__":
    main()
