"""The stages of a run with a progress bar each: what the commands and the quickstart share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from metanas.cli.progress import progress_bar
from metanas.cli.shell import say
from metanas.deploy import LATENCY_TOLERANCE, Int8Trial, Verification
from metanas.devices import Device, open_device
from metanas.meta import Observer, OuterSettings, ValidationSettings
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, user_folder
from metanas.profiling.estimate import measure_rows
from metanas.runs import (
    NO_VALIDATION,
    RunFolder,
    RunSettings,
    Step,
    calibrate_own_table,
    evaluate_network,
    measure_winner,
    quantise_on,
    search,
    train_network,
    train_supernet,
    verify_on,
)
from metanas.runs import closed_loop as close_loop
from metanas.search import Candidate, SearchResult, SearchRound, SearchSettings, ShrinkingSettings
from metanas_agent.layers import LayerSpec
from metanas_agent.timer import TimerSettings

_TIMER = TimerSettings(budget_ms=400)
"""Of a winner in the closed loop."""


def check_settings(settings: RunSettings) -> None:
    """Load the data set, and refuse what cannot work."""
    with progress_bar(f"loading {settings.data}") as advance:

        def observe(what: str, done: int, total: int) -> None:
            advance(done, total=total, detail=what)

        settings.check(observe)


def meta_train_supernet(
    workers: Workers,
    folder: RunFolder,
    outer: OuterSettings,
    shrinking: ShrinkingSettings,
    validation: ValidationSettings = NO_VALIDATION,
) -> None:
    """Meta-train the super-network."""
    with _training_bar("super-network", outer.steps) as observe:
        train_supernet(workers, folder, outer, shrinking, validation, observer=observe)


def meta_train_network(
    workers: Workers,
    folder: RunFolder,
    name: str,
    architecture: str,
    outer: OuterSettings,
    validation: ValidationSettings = NO_VALIDATION,
) -> None:
    """Meta-train one network from scratch."""
    with _training_bar(name, outer.steps) as observe:
        train_network(workers, folder, name, architecture, outer, validation, observer=observe)


def search_architecture(
    workers: Workers,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    front: Sequence[str] = (),
    warm_start: Sequence[RunFolder] = (),
    allow_emulated: bool = False,
    measure_uncertain: bool = False,
) -> SearchResult:
    """Search the super-network under constraints."""
    with progress_bar("search", settings.rounds) as advance:

        def observe(line: SearchRound) -> None:
            advance(line.round + 1, detail=f"least loss {line.least_loss:.3f}")

        def measure(table: LatencyTable, layers: Sequence[LayerSpec]) -> LatencyTable:
            name = table.header.device.name
            advance(detail=f"measuring {len(layers)} estimated rows on {name}")
            with closing(open_device(name, on_wait=say)) as device:
                return measure_rows(device, table, layers, user_folder())

        return search(
            workers,
            folder,
            constraints,
            settings,
            front=front,
            warm_start=warm_start,
            allow_emulated=allow_emulated,
            measure=measure if measure_uncertain else None,
            observer=observe,
        )


def closed_loop(
    folder: RunFolder, search: Callable[[], SearchResult], latency_tolerance: float
) -> Candidate:
    """Search until the winner is as fast on its devices as its tables say."""

    def measure(name: str, architecture: str) -> Verification:
        with closing(open_device(name, on_wait=say)) as device:
            return measure_winner(
                device, folder, architecture, _TIMER, latency_tolerance=latency_tolerance
            )

    def calibrate(name: str, number: int) -> None:
        with (
            progress_bar(f"calibrate {name}") as advance,
            closing(open_device(name, on_wait=say)) as device,
        ):
            calibrate_own_table(
                device,
                folder,
                number=number,
                on_progress=lambda done, total: advance(done, total=total),
            )

    def tell(step: Step) -> None:
        say(
            f"{step.architecture} on {step.device}: predicted {step.predicted_ms:.4g} ms, "
            f"measured {step.measured_ms:.4g} ms, {step.verdict}: {step.done}"
        )

    return close_loop(folder, search, measure, calibrate, observer=tell)


def evaluate_trained(
    workers: Workers, folder: RunFolder, name: str, episodes: int
) -> dict[str, Any]:
    """Accuracy over test episodes."""
    with progress_bar(f"evaluating {name}", episodes) as advance:

        def observe(done: int) -> None:
            advance(min(done, episodes))  # they are done in batches, and the last one is filled up

        return evaluate_network(workers, folder, name, episodes=episodes, observer=observe)


def verify_deployed(
    device: Device,
    folder: RunFolder,
    table: LatencyTable | None,
    timer: TimerSettings,
    *,
    name: str,
    episodes: int,
    latency_tolerance: float = LATENCY_TOLERANCE,
) -> Verification:
    """Export, run on the device, compare."""
    with progress_bar(f"verifying on {device.name}", episodes) as advance:
        return verify_on(
            device,
            folder,
            table,
            timer,
            name=name,
            episodes=episodes,
            latency_tolerance=latency_tolerance,
            observer=advance,
        )


def quantise_deployed(
    device: Device, folder: RunFolder, timer: TimerSettings, *, name: str, tasks: int
) -> Int8Trial:
    """Export, quantise, run both on the device, compare."""
    with progress_bar(f"int8 on {device.name}", tasks) as advance:
        return quantise_on(device, folder, timer, name=name, tasks=tasks, observer=advance)


@contextmanager
def _training_bar(description: str, steps: int) -> Iterator[Observer]:
    """Show how training goes; the last validation stays until the next."""
    validated = ""
    done = 0
    with progress_bar(description, steps) as advance:

        def observe(line: dict[str, Any]) -> None:
            nonlocal done, validated
            done = line["step"] + 1
            if "val_accuracy" in line:
                validated = f"  validation {line['val_accuracy']:.3f}"
            figures = f"loss {line['loss']:.3f}  accuracy {line['accuracy']:.2f}{validated}"
            advance(done, detail=figures)

        yield observe
    if 0 < done < steps:
        say(f"{description}: ended after {done} of {steps} steps; validation improved no more")
