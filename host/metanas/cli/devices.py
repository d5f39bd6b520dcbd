"""`metanas-profile devices`: what is there, what it can run, and whether it is free."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from metanas.cli.options import Json
from metanas.cli.results import print_result, tell
from metanas.cli.shell import print_json, printable, say
from metanas.devices import DeviceEntry, inventory

_STYLES = {
    "free": "green",
    "busy": "yellow",
    "unavailable": "yellow",
    "unreachable": "red",
    "broken": "red",
}


def devices(
    timeout_s: Annotated[
        float, typer.Option(min=0.1, max=60.0, help="Seconds to listen for agents by mDNS.")
    ] = 2.0,
    json: Json = False,
) -> None:
    """List the devices: this machine, simulators, paired boards, and agents in the network."""
    found = inventory(timeout_s)
    if json:
        print_json(asdict(found))
        return
    print_result(_listing(found.entries), whole_lines=True)
    for entry in found.entries:
        if entry.detail:
            tell(f"{entry.name}: {entry.detail}")
    if any(entry.kind == "stranger" for entry in found.entries):
        say("to use one that is not paired: metanas-profile pair USER@ADDRESS")
    if found.warning:
        say(f"warning: {found.warning}")


def _listing(entries: tuple[DeviceEntry, ...]) -> Table:
    listing = Table(
        *("name", "id", "where", "architecture", "runtimes", "paired", "state", "agent"), box=None
    )
    for entry in entries:
        listing.add_row(
            *(_cell(text) for text in (entry.name, entry.id[:8], entry.where, entry.machine)),
            *(_cell(", ".join(entry.runtimes)), "yes" if entry.paired else ""),
            *(_state(entry), _cell(entry.agent_version)),
        )
    return listing


def _state(entry: DeviceEntry) -> Text:
    text = "broken file" if entry.kind == "broken" else entry.state
    return Text(text, style=_STYLES.get(entry.state, ""))


def _cell(text: str) -> Text:
    return Text(printable(text))
