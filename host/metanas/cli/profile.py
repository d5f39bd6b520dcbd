"""`metanas-profile`: measure a device layer by layer, and look at the tables."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from metanas.cli.calibrate import calibrate
from metanas.cli.devices import devices
from metanas.cli.doctor import doctor
from metanas.cli.estimate import estimate
from metanas.cli.export import export
from metanas.cli.fleet import fleet_names, run_fleet
from metanas.cli.measured import Measured, show_fleet, show_one
from metanas.cli.options import Json
from metanas.cli.pairing import agent_file, pair, unpair
from metanas.cli.progress import Advance, profile_device
from metanas.cli.quantities import duration_s, image_shape, share
from metanas.cli.shell import run_app
from metanas.cli.tables import diff, list_tables, merge, show
from metanas.cli.timing_options import DEFAULT_BUDGET_MS, Batch, BudgetMs, Seed, Threads
from metanas.cli.usage import PlainGroup
from metanas.devices import Device
from metanas.profiling import table_name, user_folder
from metanas.spaces import SPACES, make_space
from metanas_agent.layers import DTYPES
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
    cls=PlainGroup,
    add_completion=False,
    no_args_is_help=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


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


def _dtype(name: str) -> str:
    if name not in DTYPES:
        raise typer.BadParameter(f"{name!r}; choose {' or '.join(DTYPES)}")
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
    dtype: Annotated[
        str,
        typer.Option(
            help="What the layers compute in: float32, or int8 (static quantisation, by "
            "onnxruntime). Each has a table of its own.",
            callback=_dtype,
        ),
    ] = "float32",
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
    budget_ms: BudgetMs = DEFAULT_BUDGET_MS,
    interval: Annotated[
        str,
        typer.Option(help="A timing ends when its median is known to this, with 95% confidence."),
    ] = "1%",
    rounds: Annotated[
        int, typer.Option(min=1, help="Timings of each row, far apart; the fastest is kept.")
    ] = 2,
    batch: Batch = 1,
    cache: Annotated[
        str,
        typer.Option(
            help="What a call finds in the processor's caches: warm, its data of the call before; "
            "cold, nothing.",
            callback=_cache,
        ),
    ] = "warm",
    threads: Threads = 1,
    energy: Annotated[
        bool,
        typer.Option(
            "--energy",
            help="Measure the energy of a call too, where the device can tell; each timing takes "
            "some 15 ms more.",
        ),
    ] = False,
    seed: Seed = 0,
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
    if energy and cache == "cold":
        raise typer.BadParameter("no device tells the energy of calls with a cold cache")
    asked = {"downsampling": downsampling, "pool": pool}
    switches = {name: value for name, value in asked.items() if value is not None}
    switches["dtype"] = dtype
    searched = make_space(space, input_shape=image_shape(image), ways=ways, **switches)
    settings = TimerSettings(
        budget_ms=budget_ms,
        interval=share(interval),
        seed=seed,
        batch=batch,
        cache=cache,
        threads=threads,
        energy=energy,
    )
    budget_s = duration_s(budget) if budget else None

    def measure_one(opened: Device, advance: Advance) -> Measured:
        started = time.monotonic()
        name = table_name(
            opened.name,
            searched,
            opened.describe().source,
            batch=batch,
            cache=cache,
            threads=threads,
        )
        path = (out or user_folder()) / name
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
app.command(name="list")(list_tables)
app.command()(show)
app.command()(diff)
app.command()(merge)


def main() -> NoReturn:
    """Run the command."""
    run_app(app)


if __name__ == "__main__":
    main()
