"""`metanas-profile estimate`: a new device's table from a few probes."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from metanas.cli.options import Json
from metanas.cli.progress import progress_bar
from metanas.cli.shell import print_json, say
from metanas.cli.timing_options import DEFAULT_BUDGET_MS, BudgetMs, Seed
from metanas.devices import open_device
from metanas.profiling import (
    LatencyTable,
    SweepProgress,
    find_table,
    read_table,
    table_name,
    user_folder,
    write_table,
)
from metanas.profiling.estimate import FEWEST_PROBES, Estimator, measure_probes
from metanas.profiling.table import space_of
from metanas_agent.timer import TimerSettings


def estimate(
    *,
    device: Annotated[str, typer.Option(help="The new device.")],
    tables: Annotated[
        list[str],
        typer.Option(
            "--from",
            help="Table of another device, path or name; repeatable. The first one's space is "
            "estimated.",
        ),
    ],
    probes: Annotated[int, typer.Option(min=FEWEST_PROBES, help="Layers to measure.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables; your data folder if not given.")
    ] = None,
    budget_ms: BudgetMs = DEFAULT_BUDGET_MS,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Measure a few layers of a new device, and estimate its table from those of other devices.

    Estimated rows say so, each with its interval. The measured ones are also kept in a table of
    their own, from which `metanas-profile --device` goes on when the whole table is wanted.
    """
    others = [read_table(find_table(name)) for name in tables]
    space = space_of(others[0])
    estimator = Estimator(space, others)
    folder = out or user_folder()
    settings = TimerSettings(budget_ms=budget_ms, seed=seed)
    with (
        progress_bar(f"probe {device}") as advance,
        closing(open_device(device, on_wait=say)) as opened,
    ):

        def observe(progress: SweepProgress) -> None:
            advance(progress.done, total=progress.total, detail=progress.note)

        measured = measure_probes(
            opened,
            estimator,
            settings,
            folder / table_name(opened.name, space, opened.describe().source),
            probes=probes,
            seed=seed,
            on_progress=observe,
        )
    table = estimator.estimate(measured)
    path = folder / table_name(table.header.device.name, space, str(table.shared("source")))
    if table.shared("source") != "estimated":
        say(f"every row of {device} is {table.shared('source')}: there is nothing to estimate")
    else:
        write_table(table, path)
    found = _summary(table)
    if json:
        print_json({"table": str(path), **found})
    elif found["estimated"]:
        say(
            f"{found['measured']} rows {table.header.device.source}, {found['estimated']} "
            f"estimated, half of them to within {found['median_half_interval']:.0%} with 95% "
            f"confidence: {path}"
        )
    else:
        say(f"{len(table.rows)} rows: {path}")


def _summary(table: LatencyTable) -> dict[str, str | int | float]:
    estimated = [row for row in table.rows.values() if row.source == "estimated"]
    intervals = [row.relative_interval for row in estimated]
    return {
        "device": table.header.device.name,
        "source": str(table.shared("source")),
        "measured": len(table.rows) - len(estimated),
        "estimated": len(estimated),
        "median_half_interval": float(np.median(intervals)) if intervals else 0.0,
    }
