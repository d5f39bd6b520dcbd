"""Options of the commands that time layers: their limits are those of `TimerSettings`."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from metanas.cli.options import LARGEST_SEED

DEFAULT_BUDGET_MS = 100.0


def _number(value: float) -> float:
    if math.isnan(value):  # which is in every range
        raise typer.BadParameter("nan is no number of milliseconds")
    return value


BudgetMs = Annotated[
    float,
    typer.Option(
        min=1.0,
        max=3_600_000.0,
        callback=_number,
        help="Most milliseconds to spend on one timing of a row.",
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Of the order of rows and their inputs.")
]
Batch = Annotated[
    int,
    typer.Option(min=1, max=65_536, help="Images in one call; more than one takes a GPU or torch."),
]
Threads = Annotated[
    int, typer.Option(min=1, max=65_536, help="Threads that share the work of one call.")
]
