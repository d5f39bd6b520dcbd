"""`metanas-profile calibrate`: do a table's sums agree with whole networks on the device?"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from metanas.cli.options import LARGEST_SEED, Json
from metanas.cli.progress import progress_bar
from metanas.cli.shell import console, print_json, say
from metanas.devices import open_device
from metanas.profiling import (
    FEWEST_NETWORKS,
    Additivity,
    CalibrationReport,
    calibrate_table,
    find_table,
    read_table,
)


def calibrate(
    table: Annotated[str, typer.Argument(help="A path, or the start of a name from `list`.")],
    *,
    device: Annotated[
        str, typer.Option(help="Where to measure; the table's own device if not given.")
    ] = "",
    networks: Annotated[
        int,
        typer.Option(
            min=FEWEST_NETWORKS,
            help="Networks to measure: half random, half such as a search would choose.",
        ),
    ] = 20,
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Of their choice, weights and order.")
    ] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on from what is there.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure whole networks on a table's device, and write a correction into the table.

    The rows stay as they are. A stopped command goes on where it was when it runs again.
    """
    path = find_table(table)
    name = device or read_table(path).header.device.name
    with (
        progress_bar(f"calibrate {name}") as advance,
        closing(open_device(name, on_wait=say)) as opened,
    ):
        report = calibrate_table(
            opened,
            path,
            networks=networks,
            seed=seed,
            fresh=fresh,
            on_progress=lambda done, total: advance(done, total=total),
        )
    if json:
        print_json({"table": str(path), **asdict(report)})
    else:
        _show(report)
        say(f"written to {path}")


def _show(report: CalibrationReport) -> None:
    line = report.calibration
    listing = Table("", "bias", "mean", "worst", "within 5%", "within 10%", "tau", box=None)
    listing.add_row("sums", *_cells(report.before))
    for kind, found in report.kinds.items():
        listing.add_row(f"  {kind}", *_cells(found.before))
    listing.add_row("calibrated", *_cells(report.after))
    for kind, found in report.kinds.items():
        listing.add_row(f"  {kind}", *_cells(found.after))
    console.print(listing)
    if report.throttled:
        say(f"{report.throttled} more networks are left out: the device was throttled")
    say(
        f"{line.formula}, from {line.networks} networks: random ones, and chosen ones as a search "
        "would; calibrated errors are of networks that it was not fitted to"
    )


def _cells(found: Additivity) -> tuple[str, ...]:
    errors = (f"{found.bias:+.1%}", f"{found.mean_error:.1%}", f"{found.worst_error:.1%}")
    return (*errors, f"{found.within_5:.0%}", f"{found.within_10:.0%}", f"{found.tau:.3f}")
