"""What `metanas-profile` says of the tables that it made, and of what it had to leave out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import typer

from metanas.cli.fleet import Failure
from metanas.cli.shell import FAILED, console, print_failure, print_json, say
from metanas.cli.table_view import show_table, verdict_counts
from metanas.cli.timing_options import DEFAULT_BUDGET_MS
from metanas.profiling import OVER_BUDGET, LatencyTable, expected_shares, user_folder
from metanas.profiling.timings import plain_settings
from metanas.spaces import SearchSpace
from metanas_agent.timer import TimerSettings

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
                f"of the work of a random architecture: {_named(over_budget)}"
            )
            say(
                "until it has those too, adapt and calibrate refuse the table; show, diff and "
                "export take it"
            )
            say("the same command goes on from here, without --budget to the end")
            if command := self._estimate():
                say(f"or guess the rest by another device's table of this space: {command}")

    def _estimate(self) -> str:
        """The command that guesses the rest; empty if it times layers in another way."""
        header = self.table.header
        budget_ms, seed = header.timer["budget_ms"], header.timer["seed"]
        usual = TimerSettings(budget_ms=float(budget_ms), seed=int(seed))
        if header.device.source != "measured" or header.timer != plain_settings(usual):
            return ""
        options = {"--device": header.device.name, "--from": "TABLE"}
        if budget_ms != DEFAULT_BUDGET_MS:
            options["--budget-ms"] = f"{budget_ms:g}"
        if seed:
            options["--seed"] = str(seed)
        if self.path.parent != user_folder():
            options["--out"] = str(self.path.parent)
        return shlex.join(["metanas-profile", "estimate", *chain.from_iterable(options.items())])

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
