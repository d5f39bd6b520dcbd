"""`metanas export`: the adapted network as files that a device runs."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated, Any

import typer

from metanas.cli import options as o
from metanas.cli.shell import print_json, say

_MOST_IMAGES = 1024
"""A call; so many are tried when the file is written."""


def export(
    run: o.Run,
    *,
    name: o.Trained = "found",
    device: Annotated[
        str,
        typer.Option(
            help="Write what this device, or this kind of board, runs: an opset that its "
            "ONNX Runtime reads, or a program compiled for it."
        ),
    ] = "",
    opset: Annotated[
        int | None, typer.Option(help="ONNX opset of the file; else 18, or what the device reads.")
    ] = None,
    batch: Annotated[
        str, typer.Option(help="Images a call: a number, or `free` for any number.")
    ] = "free",
    json: o.Json = False,
) -> None:
    """Adapt the trained network to a test task and write it as model.onnx.

    Its inner loop becomes adapt.onnx and classify.onnx, by which a board learns its own classes.
    """
    from metanas.deploy import load_model, opset_of
    from metanas.devices import runtime_of
    from metanas.runs import RunFolder, export_adaptation, export_native
    from metanas.runs import export as export_stage

    images = _batch(batch)
    folder = RunFolder.open(run)
    runtime, target = runtime_of(device) if device else ("", "")
    if runtime == "native" and images not in (None, 1):
        raise typer.BadParameter("a program takes one image a call", param_hint="--batch")
    written = _opset(device, opset) if runtime == "onnx" else opset
    (network,) = export_stage(folder, name, tasks=1, batch=images, opset=written)
    result: dict[str, Any] = {
        "model": str(folder.model),
        "bytes": len(network.model),
        "opset": opset_of(load_model(network.model)),
        "batch": images or "free",
    }
    lines = [f"{folder.model}: {len(network.model)} bytes, opset {result['opset']}"]
    files = (folder.adaptation_graph, folder.classifier_graph)
    graphs = export_adaptation(folder, name, opset=written)
    for file, graph in zip(files, (graphs.adaptation, graphs.classifier), strict=True):
        result[file.stem] = {"file": str(file), "bytes": len(graph)}
        lines.append(f"{file}: {len(graph)} bytes")
    if runtime == "native":
        program = export_native(folder, network.model, target)
        result["native"] = {**program.manifest, "program": str(program.path)}
        lines.append(f"{program.path}: {program.size_bytes} bytes, {program.checked}")
    if json:
        print_json(result)
    else:
        for line in lines:
            say(line)


def _batch(text: str) -> int | None:
    if text == "free":
        return None
    if not (len(text) <= 4 and text.isdecimal() and 1 <= int(text) <= _MOST_IMAGES):
        raise typer.BadParameter(
            f"{text[:40]!r} is neither `free` nor a number from 1 to {_MOST_IMAGES}",
            param_hint="--batch",
        )
    return int(text)


def _opset(device: str, wanted: int | None) -> int:
    """What the device's ONNX Runtime reads; the device is asked."""
    from metanas.devices import open_device
    from metanas.errors import ExportError
    from metanas.runs import readable_opset

    with closing(open_device(device, on_wait=say)) as opened:
        opset = readable_opset(opened, wanted)
        if opset is None:
            unavailable = opened.describe().unavailable
            reason = unavailable.get("onnx", "its agent does not offer it")
            raise ExportError(
                f"{device} has no ONNX Runtime: {reason}",
                hint="install onnxruntime there, or name the file's --opset and leave --device out",
            )
    return opset
