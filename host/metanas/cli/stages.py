"""The stages of a run with a progress bar each: what the commands and the quickstart share."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from metanas.cli.progress import progress_bar
from metanas.cli.shell import say
from metanas.deploy import Verification
from metanas.devices import Device, open_device
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import LatencyTable, user_folder
from metanas.profiling.estimate import measure_rows
from metanas.runs import (
    RunFolder,
    RunSettings,
    evaluate_network,
    search,
    train_network,
    train_supernet,
    verify_on,
)
from metanas.search import SearchResult, SearchSettings, ShrinkingSettings
from metanas_agent.layers import LayerSpec
from metanas_agent.timer import TimerSettings


def check_settings(settings: RunSettings) -> None:
    """Load the data set, and refuse what cannot work."""
    with progress_bar(f"loading {settings.data}") as advance:

        def observe(what: str, done: int, total: int) -> None:
            advance(done, total=total, detail=what)

        settings.check(observe)


def meta_train_supernet(
    workers: Workers, folder: RunFolder, outer: OuterSettings, shrinking: ShrinkingSettings
) -> None:
    """Meta-train the super-network."""
    with progress_bar("super-network", outer.steps) as advance:

        def observe(line: dict[str, Any]) -> None:
            advance(line["step"] + 1, detail=_figures(line))

        train_supernet(workers, folder, outer, shrinking, observer=observe)


def meta_train_network(
    workers: Workers, folder: RunFolder, name: str, architecture: str, outer: OuterSettings
) -> None:
    """Meta-train one network from scratch."""
    with progress_bar(name, outer.steps) as advance:

        def observe(line: dict[str, Any]) -> None:
            advance(line["step"] + 1, detail=_figures(line))

        train_network(workers, folder, name, architecture, outer, observer=observe)


def search_architecture(
    workers: Workers,
    folder: RunFolder,
    constraints: Sequence[str],
    settings: SearchSettings,
    *,
    allow_emulated: bool = False,
    measure_uncertain: bool = False,
) -> SearchResult:
    """Search the super-network under constraints."""
    with progress_bar("search", settings.rounds) as advance:

        def observe(line: dict[str, Any]) -> None:
            advance(line["round"] + 1, detail=f"least loss {min(line['losses']):.3f}")

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
            allow_emulated=allow_emulated,
            measure=measure if measure_uncertain else None,
            observer=observe,
        )


def evaluate_trained(
    workers: Workers, folder: RunFolder, name: str, episodes: int
) -> dict[str, Any]:
    """Accuracy over test episodes."""
    with progress_bar(f"evaluating {name}", episodes) as advance:
        return evaluate_network(workers, folder, name, episodes=episodes, observer=advance)


def verify_deployed(
    device: Device,
    folder: RunFolder,
    table: LatencyTable,
    timer: TimerSettings,
    *,
    name: str,
    tasks: int,
) -> Verification:
    """Export, run on the device, compare."""
    with progress_bar(f"verifying on {device.name}", tasks) as advance:
        return verify_on(
            device,
            folder,
            table,
            timer,
            name=name,
            tasks=tasks,
            observer=advance,
        )


def _figures(line: dict[str, Any]) -> str:
    return f"loss {line['loss']:.3f}  accuracy {line['accuracy']:.2f}"
