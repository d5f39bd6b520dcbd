"""`metanas-profile list`, `show`, `diff` and `merge`: look at tables, compare and unite them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from metanas.cli.measured import summary
from metanas.cli.options import Json
from metanas.cli.results import result_console
from metanas.cli.shell import print_json, say
from metanas.cli.table_view import broken_tables, few_in_common, show_diff, show_list, show_table
from metanas.errors import TableError
from metanas.profiling import diff as compare
from metanas.profiling import (
    find_table,
    read_header,
    read_table,
    records,
    tables,
    user_folder,
    write_table,
)
from metanas.profiling import merge as union
from metanas.profiling.table.store import SUFFIX


def list_tables(
    out: Annotated[
        Path | None,
        typer.Option(
            exists=True, file_okay=False, help="Folder to look in; your data folder if not given."
        ),
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
        show_list(result_console(whole_lines=True), heads, out or user_folder())
        for line in broken_tables(heads):
            say(line)


def show(
    table: Annotated[str, typer.Argument(help="A path, or the start of a name from `list`.")],
    png: Annotated[
        Path | None, typer.Option("--png", help="Draw the heat map into this PNG file too.")
    ] = None,
    json: Json = False,
) -> None:
    """Show where a table comes from, how far it can be trusted, and a heat map of its rows."""
    if png and png.suffix.lower() != ".png" and not png.is_dir():
        raise typer.BadParameter(f"{png} would be a PNG file; name it so", param_hint="--png")
    loaded = read_table(find_table(table))
    if png:
        from metanas.report.heat_map import write_heat_map  # noqa: PLC0415 - matplotlib is slow

        write_heat_map(loaded, png)
    if json:
        rows = list(records(loaded))
        print_json({**summary(loaded), "header": asdict(loaded.header), "measurements": rows})
    else:
        show_table(result_console(), loaded, heat_map=True)


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
        show_diff(result_console(), found)
        if warning := few_in_common(found):
            say(f"warning: {warning}")


def merge(
    first: Annotated[str, typer.Argument(help="A table: path or name.")],
    second: Annotated[str, typer.Argument(help="Another table of the same device.")],
    out: Annotated[Path, typer.Option(help="Table to write, such as both.tsv.")],
    json: Json = False,
) -> None:
    """Put the rows of two tables of one device into one.

    Of two rows of one layer the one to trust more is kept: not throttled, measured rather than
    estimated, not noisy, the tighter interval, in this order.
    """
    if out.suffix != SUFFIX and not out.is_dir():
        raise typer.BadParameter(
            f"{out} would be a table, and list finds those that end in {SUFFIX}; name it so "
            "(export writes CSV)",
            param_hint="--out",
        )
    paths = [find_table(name) for name in (first, second)]
    loaded = [read_table(path) for path in paths]
    merged = union(*loaded)
    write_table(merged.table, out)
    calibrated = [
        str(path) for path, table in zip(paths, loaded, strict=True) if table.header.calibration
    ]
    if calibrated:
        say(f"dropped the calibration of {' and '.join(calibrated)}: it is of that table's sums")
    if json:
        print_json({"table": str(out), "conflicts": merged.conflicts, **summary(merged.table)})
    else:
        say(
            f"{len(merged.table.rows)} rows; {len(merged.conflicts)} were in both with different "
            f"values, there the row to trust more was kept: {out}"
        )
