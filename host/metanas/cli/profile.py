"""`metanas-profile`: measure a device layer by layer, and look at the tables."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from metanas.cli.calibrate import calibrate
from metanas.cli.devices import devices
from metanas.cli.doctor import doctor
from metanas.cli.estimate import estimate
from metanas.cli.export import export
from metanas.cli.fleet import fleet_names, run_fleet
from metanas.cli.measured import Measured, show_fleet, show_one, summary
from metanas.cli.pairing import agent_file, pair, unpair
from metanas.cli.progress import Advance, profile_device
from metanas.cli.quantities import duration_s, share
from metanas.cli.shell import console, print_json, run_app
from metanas.cli.table_view import show_diff, show_list, show_table
from metanas.devices import Device
from metanas.errors import TableError
from metanas.profiling import diff as compare
from metanas.profiling import (
    find_table,
    read_header,
    read_table,
    records,
    table_name,
    tables,
    user_folder,
    write_table,
)
from metanas.profiling import merge as union
from metanas.spaces import SPACES, SearchSpace, make_space
from metanas_agent.timer import CACHES, TimerSettings

_EXAMPLES = """Examples:

  metanas-profile --device local               measure this machine

  metanas-profile --device local --budget 10m  measure what a search needs most

  metanas-profile --device eyeriss             simulate an accelerator

  metanas-profile pair pi@raspberrypi.local    install the agent on a board

  metanas-profile devices                      what is in the network

  metanas-profile doctor --device pi0          what could spoil its measurements

  metanas-profile --device all                 measure every paired board, side by side

  metanas-profile list                         what there is

  metanas-profile show local-vgg9              a heat map of a table

  metanas-profile export local-vgg9 --csv rows.csv    for other programs

  metanas-profile diff before.tsv after.tsv    what became slower
"""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
_SHAPE = re.compile(r"(\d{1,4})x(\d{1,4})x(\d{1,4})", re.ASCII)


def _shape(text: str) -> tuple[int, int, int]:
    match = _SHAPE.fullmatch(text)
    if match is None or "0" in match.groups():
        raise typer.BadParameter(
            f"{text!r} is no image shape; write channels x height x width, like 1x28x28"
        )
    channels, height, width = map(int, match.groups())
    return channels, height, width


def _space(name: str) -> str:
    if name not in SPACES:
        raise typer.BadParameter(f"no space {name!r}; choose from {', '.join(SPACES)}")
    return name


def _cache(name: str) -> str:
    if name not in CACHES:
        raise typer.BadParameter(f"{name!r}; choose {' or '.join(CACHES)}")
    return name


def _downsampling(name: str | None) -> str | None:
    if name not in (None, "pooled", "strided"):
        raise typer.BadParameter(f"{name!r}; choose pooled or strided")
    return name


@app.callback(invoke_without_command=True, epilog=_EXAMPLES)
def measure(
    context: typer.Context,
    *,
    device: Annotated[
        str,
        typer.Option(
            help="What to measure: `local`, another device's name, several like `pi0,pi4`, or "
            "`all` for every paired board that answers."
        ),
    ] = "",
    space: Annotated[
        str, typer.Option(help="Search space whose layers are measured.", callback=_space)
    ] = "vgg9",
    image: Annotated[
        str, typer.Option("--input", help="Image shape: channels x height x width.")
    ] = "1x28x28",
    ways: Annotated[int, typer.Option(min=2, help="Classes of a task.")] = 5,
    downsampling: Annotated[
        str | None,
        typer.Option(
            help="How layers halve the map: pooled (default) or strided.", callback=_downsampling
        ),
    ] = None,
    pool: Annotated[
        int | None, typer.Option(min=1, help="n of the n x n pooling before the classifier.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the table; your data folder if not given.")
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            help="Time to spend on measuring, such as 90s, 10m or 2h: on what a search needs most. "
            "It is of this command's run; the same command again goes on for as long again."
        ),
    ] = "",
    budget_ms: Annotated[
        float, typer.Option(min=1.0, help="Most milliseconds to spend on one timing of a row.")
    ] = 100.0,
    interval: Annotated[
        str,
        typer.Option(help="A timing ends when its median is known to this, with 95% confidence."),
    ] = "1%",
    rounds: Annotated[
        int, typer.Option(min=1, help="Timings of each row, far apart; the fastest is kept.")
    ] = 2,
    batch: Annotated[
        int, typer.Option(min=1, help="Images in one call; more than one takes a GPU or torch.")
    ] = 1,
    cache: Annotated[
        str,
        typer.Option(
            help="What a call finds in the processor's caches: warm, its data of the call before; "
            "cold, nothing.",
            callback=_cache,
        ),
    ] = "warm",
    threads: Annotated[
        int, typer.Option(min=1, help="Threads that share the work of one call.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the order of rows and their inputs.")] = 0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start over instead of going on from what is there.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure a device layer by layer and write its latency table.

    A stopped measurement goes on where it was when the same command runs again, with a budget or
    without. A layer that cannot be timed is named at the end, and does not stop the others.
    """
    if context.invoked_subcommand:
        return
    if not device:
        raise typer.BadParameter("say which device to measure", param_hint="--device")
    asked = {"downsampling": downsampling, "pool": pool}
    switches = {name: value for name, value in asked.items() if value is not None}
    searched = make_space(space, input_shape=_shape(image), ways=ways, **switches)
    settings = TimerSettings(
        budget_ms=budget_ms,
        interval=share(interval),
        seed=seed,
        batch=batch,
        cache=cache,
        threads=threads,
    )
    budget_s = duration_s(budget) if budget else None

    def measure_one(opened: Device, advance: Advance) -> Measured:
        started = time.monotonic()
        path = _path(opened, searched, out, settings)
        table = profile_device(
            opened,
            searched,
            settings,
            path,
            advance=advance,
            rounds=rounds,
            fresh=fresh,
            budget_s=budget_s,
        )
        return Measured(path, table, searched, round(time.monotonic() - started, 1))

    results = run_fleet(fleet_names(device), measure_one)
    if len(results) == 1:
        (result,) = results.values()
        show_one(result, json=json)
    else:
        show_fleet(results, json=json)


app.command()(calibrate)
app.command()(devices)
app.command()(doctor)
app.command()(estimate)
app.command()(export)
app.command()(pair)
app.command()(unpair)
app.command()(agent_file)


@app.command(name="list")
def list_tables(
    out: Annotated[
        Path | None, typer.Option(help="Folder to look in; your data folder if not given.")
    ] = None,
    json: Json = False,
) -> None:
    """List the tables that there are."""
    heads: dict[str, dict[str, Any]] = {}
    for path in tables(*([out] if out else [])):
        try:
            heads[str(path)] = read_header(path)
        except TableError as error:
            heads[str(path)] = {"error": str(error)}
    if json:
        print_json([{"table": path, **head} for path, head in heads.items()])
    else:
        show_list(console, heads, out or user_folder())


@app.command()
def show(
    table: Annotated[str, typer.Argument(help="A path, or the start of a name from `list`.")],
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the heat map into this PNG file too.")
    ] = None,
    json: Json = False,
) -> None:
    """Show where a table comes from, how far it can be trusted, and a heat map of its rows."""
    loaded = read_table(find_table(table))
    if png:
        from metanas.report.heat_map import write_heat_map  # noqa: PLC0415 - matplotlib is slow

        write_heat_map(loaded, png)
    if json:
        rows = list(records(loaded))
        print_json({**summary(loaded), "header": asdict(loaded.header), "measurements": rows})
    else:
        show_table(console, loaded, heat_map=True)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A table: path or name.")],
    after: Annotated[str, typer.Argument(help="The table to compare with it.")],
    json: Json = False,
) -> None:
    """Show which layers became slower or faster by more than noise.

    Noise is each row's 95% interval, widened by how much its table's sentinel varied.
    """
    first, second = (read_table(find_table(name)) for name in (before, after))
    found = compare(first, second)
    if json:
        print_json(
            {
                "median_change": found.median_change,
                "beyond_noise": [change._asdict() for change in found.beyond_noise],
                "sentinel_spreads": found.spreads,
                "common": len(found.changes),
                "removed": found.removed,
                "added": found.added,
            }
        )
    else:
        show_diff(console, found)


@app.command()
def merge(
    first: Annotated[str, typer.Argument(help="A table: path or name.")],
    second: Annotated[str, typer.Argument(help="Another table of the same device.")],
    out: Annotated[Path, typer.Option(help="File to write.")],
    json: Json = False,
) -> None:
    """Put the rows of two tables of one device into one; the tighter interval wins."""
    merged = union(*(read_table(find_table(name)) for name in (first, second)))
    write_table(merged.table, out)
    if json:
        print_json({"table": str(out), "conflicts": merged.conflicts, **summary(merged.table)})
    else:
        console.print(
            f"{len(merged.table.rows)} rows; {len(merged.conflicts)} were in both with different "
            f"values, there the tighter interval was kept: {out}",
            soft_wrap=True,
        )


def _path(
    device: Device, space: SearchSpace[Any], out: Path | None, settings: TimerSettings
) -> Path:
    name = table_name(
        device.name,
        space,
        device.describe().source,
        batch=settings.batch,
        cache=settings.cache,
        threads=settings.threads,
    )
    return (out or user_folder()) / name


def main() -> NoReturn:
    """Run the command."""
    run_app(app)


if __name__ == "__main__":
    main()
