"""`metanas`: meta-train, adapt, export, verify, report. Commands import what they need when run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from metanas import __version__
from metanas.cli import options as o
from metanas.cli.adapt import adapt
from metanas.cli.bundle import bundle
from metanas.cli.export_network import export
from metanas.cli.quantise import quantise
from metanas.cli.results import print_result, tell
from metanas.cli.shell import print_json, run_app
from metanas.cli.train import train
from metanas.cli.usage import PlainGroup
from metanas.cli.verify import verify

app = typer.Typer(
    cls=PlainGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Adapt one meta-trained super-network to any few-shot task on any measured board.",
    epilog="Start with: metanas quickstart. Boards are measured by: metanas-profile --help.",
)


def _version(asked: bool) -> None:
    if asked:
        print_json({"metanas": __version__})
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Adapt one meta-trained super-network to any few-shot task on any measured board."""


@app.command()
def quickstart(
    *,
    run: Annotated[
        Path, typer.Option(help="Run folder; an interrupted run in it is gone on with.")
    ] = Path("runs/quickstart"),
    workers: o.Workers = o.DEFAULT_WORKERS,
    seed: o.Seed = 0,
    json: o.Json = False,
) -> None:
    """Do the whole loop on this machine, small but real, in a few minutes.

    Profiles this machine, meta-trains a super-network on the embedded glyphs, adapts it under
    constraints, retrains, exports to ONNX, verifies on this machine and writes a report.
    """
    from metanas.cli.quickstart import quickstart as whole_loop

    folder = whole_loop(run, seed=seed, workers=workers)
    if json:
        print_json(
            {
                "run": str(folder.path),
                "search": folder.read_json(folder.search, made_by="metanas quickstart"),
                "evaluation": folder.read_json(folder.evaluation, made_by="metanas quickstart"),
                "verification": folder.read_json(folder.verification, made_by="metanas quickstart"),
            }
        )


app.command()(train)
app.command()(adapt)


app.command()(export)


app.command()(quantise)


app.command()(verify)
app.command()(bundle)


@app.command()
def report(run: o.Run) -> None:
    """Write the run's one-page report and print its summary."""
    from metanas.report import summary_table, write_report

    path = write_report(run)
    print_result(summary_table(run))
    tell(str(path))


def main() -> NoReturn:
    """Run the command."""
    run_app(app)
