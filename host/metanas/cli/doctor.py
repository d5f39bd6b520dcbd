"""`metanas-profile doctor`: what on a device could spoil measurements, and what mends it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from metanas.cli.fleet import fleet_names, run_fleet
from metanas.cli.options import Json
from metanas.cli.progress import Advance
from metanas.cli.results import print_result, tell
from metanas.cli.shell import FAILED, print_failure, print_json, printable
from metanas.devices import Device
from metanas_agent.finding import Finding

_STYLES = {"ok": "green", "warning": "yellow", "unknown": "dim"}


def doctor(
    device: Annotated[
        str,
        typer.Option(
            help="What to examine: `local`, another device's name, several like `pi0,pi4`, or "
            "`all` for every paired board that answers."
        ),
    ],
    json: Json = False,
) -> None:
    """Say what on a device could spoil measurements, and the command that mends it.

    Nothing is changed. Exit code 1 if there is a warning, or a device could not be examined;
    `unknown`, what the system does not tell, is no warning, and neither is what could be better.
    """
    results = run_fleet(fleet_names(device), _examine)
    examined = {name: found for name, found in results.items() if isinstance(found, tuple)}
    failed = {name: error for name, error in results.items() if not isinstance(error, tuple)}
    if json:
        print_json(
            [
                *({"device": name, "findings": _plain(found)} for name, found in examined.items()),
                *({"device": name, "error": str(error)} for name, error in failed.items()),
            ]
        )
    else:
        for name, found in examined.items():
            _show(name, found)
    for name, error in failed.items():
        print_failure(error, of=name if len(results) > 1 else "")
    if failed or any(_warnings(found) for found in examined.values()):
        raise typer.Exit(FAILED)


def _examine(device: Device, advance: Advance) -> tuple[Finding, ...]:
    advance(detail="looking")
    return device.examine()


def _show(name: str, findings: Sequence[Finding]) -> None:
    """The table, then what mends each warning and betters the rest, in lines to be copied whole."""
    listing = Table("check", "verdict", "found", box=None, title=name, title_justify="left")
    for finding in findings:
        listing.add_row(
            Text(printable(finding.check)),
            Text(finding.verdict, style=_STYLES[finding.verdict]),
            Text(printable(finding.found), overflow="fold"),
        )
    print_result(listing)
    if warnings := _warnings(findings):
        tell(f"\nto mend, on {name}:")
    else:
        tell(f"\nnothing to mend on {name}")
    _advise(warnings)
    if notes := [finding for finding in findings if finding.verdict == "ok" and finding.advice]:
        tell(f"\nfine, and could be better, on {name}:")
    _advise(notes)


def _advise(findings: Sequence[Finding]) -> None:
    for finding in findings:
        tell(f"{finding.check}: {finding.advice}")
        if finding.command:
            tell(f"    {finding.command}")


def _warnings(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict == "warning"]


def _plain(findings: Sequence[Finding]) -> list[dict[str, str]]:
    return [finding.to_dict() for finding in findings]
