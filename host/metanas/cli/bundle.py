"""`metanas bundle`: the exported network and all that belongs to it as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metanas.cli import options as o
from metanas.cli.shell import print_json, say


def bundle(
    run: o.Run,
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write: NAME.metanas.")],
    name: Annotated[
        str,
        typer.Option(
            help="What boards call the bundle, as in `metanas-agent learn --bundle NAME`; else "
            "they call it as the run folder is called, whatever the file's name."
        ),
    ] = "",
    version: Annotated[
        str, typer.Option(help="Of the bundle; else digits made from its contents.")
    ] = "",
    licence: Annotated[str, typer.Option(help="Of the model, in words.")] = "not stated",
    json: o.Json = False,
) -> None:
    """Pack model, adaptation graph, labels, card and example into one file for a board.

    `metanas-agent install FILE` puts it there, beside older versions.
    """
    from metanas.runs import RunFolder
    from metanas.runs import bundle as pack

    manifest = pack(RunFolder.open(run), output, name=name, version=version, licence=licence)
    if json:
        print_json(
            {
                "bundle": str(output),
                "name": manifest.name,
                "version": manifest.version,
                "bytes": output.stat().st_size,
                "files": {file: each.size_bytes for file, each in sorted(manifest.files.items())},
            }
        )
        return
    say(f"{output}: {manifest.name} {manifest.version}, {output.stat().st_size} bytes")
    for file, record in sorted(manifest.files.items()):
        say(f"  {file:20} {record.size_bytes:>10}")
    say(f"on a board: metanas-agent install {output.name}; its name there is {manifest.name}")
    if "adapt.onnx" not in manifest.files:
        say(f"no board learns with it: run metanas export {run}, then metanas bundle again")
