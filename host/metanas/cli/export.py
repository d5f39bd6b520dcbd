"""`metanas-profile export`: a table for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metanas.cli.shell import say
from metanas.profiling import find_table, read_table, write_csv, write_parquet


def export(
    table: Annotated[str, typer.Argument(help="A path, or the start of a name from `list`.")],
    csv: Annotated[Path | None, typer.Option("--csv", help="CSV file to write.")] = None,
    parquet: Annotated[
        Path | None,
        typer.Option("--parquet", help="Parquet file to write; takes metanas[parquet]."),
    ] = None,
) -> None:
    """Write a table's rows, with what is known of their layers, for other programs."""
    if csv is None and parquet is None:
        raise typer.BadParameter("say what to write", param_hint="--csv or --parquet")
    loaded = read_table(find_table(table))
    if csv:
        write_csv(loaded, csv)
    if parquet:
        write_parquet(loaded, parquet)
    written = " and ".join(str(path) for path in (csv, parquet) if path)
    say(f"{len(loaded.rows)} rows: {written}")
