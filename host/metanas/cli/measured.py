"""What `metanas-profile` says of the tables that it made, and of what it had to leave out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer

from metanas.cli.fleet import Failure
from metanas.cli.shell import FAILED, console, print_failure, print_json, say
from metanas.cli.table_view import show_table, verdict_counts
from metanas.profiling import OVER_BUDGET, LatencyTable, expected_shares
from metanas.spaces import SearchSpace

_NAMED_LAYERS = 3


class Measured(NamedTuple):
    """One table that was made, or looked at again.

    Args:
        path: of its file.
        table: what is in it.
        space: whose layers were asked for.
        seconds: that it took.
    """

    path: Path
    table: LatencyTable
    space: SearchSpace[Any]
    seconds: float

    @property
    def failures(self) -> dict[str, str]:
        """Layers that could not be timed, and why."""
        left_out = self.table.header.left_out
        return {key: why for key, why in left_out.items() if why != OVER_BUDGET}

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        left_out = self.table.header.left_out
        return {
            "table": str(self.path),
            "seconds": self.seconds,
            **summary(self.table),
            "left_out": left_out,
        }

    def show(self) -> None:
        """For people."""
        say(f"{len(self.table.rows)} rows in {self.seconds} s: {self.path}")
        if self.table.header.timer.get("energy") and not any(
            row.energy_mj is not None for row in self.table.rows.values()
        ):
            say(f"{self.table.header.device.name} does not tell the energy of a call")
        over_budget = [key for key in self.table.header.left_out if key not in self.failures]
        if over_budget:
            shares = expected_shares(self.space)
            share = sum(shares.get(key, 0.0) for key in over_budget)
            say(
                f"left out, for the budget is spent: {len(over_budget)} layers, about {share:.0%} "
                f"of the work of a random architecture: {_named(over_budget)}; "
                "the same command goes on from here"
            )

    def show_failures(self) -> None:
        """One line, if any layer could not be timed."""
        if self.failures:
            ((why, _),) = Counter(self.failures.values()).most_common(1)
            say(
                f"error: {self.table.header.device.name}: {len(self.failures)} layers could not "
                f"be timed and are left out: {_named(list(self.failures))}: {why}"
            )


def show_one(result: Measured | Failure, *, json: bool) -> None:
    """What was measured on one device; exit code 1 if a layer could not be timed."""
    if not isinstance(result, Measured):
        raise result
    if json:
        print_json(result.to_json())
    else:
        result.show()
        show_table(console, result.table, heat_map=False)
    result.show_failures()
    if result.failures:
        raise typer.Exit(FAILED)


def show_fleet(results: Mapping[str, Measured | Failure], *, json: bool) -> None:
    """What was measured, then a line for each failure; exit code 1 if there is one."""
    measured = [found for found in results.values() if isinstance(found, Measured)]
    failed = {name: error for name, error in results.items() if not isinstance(error, Measured)}
    if json:
        errors = [{"device": name, "error": str(error)} for name, error in failed.items()]
        print_json([*(found.to_json() for found in measured), *errors])
    else:
        for found in measured:
            found.show()
    for found in measured:
        found.show_failures()
    for name, error in failed.items():
        print_failure(error, of=name)
    if failed or any(found.failures for found in measured):
        raise typer.Exit(FAILED)


def summary(table: LatencyTable) -> dict[str, Any]:
    """A table in a few values, for scripts."""
    sentinel = table.header.sentinel
    return {
        "device": table.header.device.name,
        "source": table.shared("source"),
        "rows": len(table.rows),
        "verdicts": verdict_counts(table),
        "sentinel_spread": sentinel.spread if sentinel else None,
    }


def _named(keys: list[str]) -> str:
    more = f" and {len(keys) - _NAMED_LAYERS} more" if len(keys) > _NAMED_LAYERS else ""
    return ", ".join(keys[:_NAMED_LAYERS]) + more
