"""A run's bundle: what was exported, with its card."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from metanas.deploy import Verification, read_verification
from metanas.deploy.bundle import DATA_LICENCES, NOT_STATED, BundleCard, write_bundle
from metanas.errors import ExportError, RunFolderError
from metanas.runs.folder import RunFolder
from metanas_agent.bundles import Manifest

_OPTIONAL = {
    "adapt.onnx": "adaptation graph: support images and labels in, weights of model.onnx out",
    "classify.onnx": "the same, and logits of query images out",
    "model.int8.onnx": "the network with 8-bit weights",
    "quantisation.json": "what 8 bits cost in accuracy, and won in time",
    "verify.json": "what the device did, against what was promised",
}
"""Files of a run that go with the model where they are there, and what they are."""

_ALWAYS = {
    "model.onnx": "the network, adapted to its classes; it takes no more than onnxruntime",
    "labels.json": "names of its classes, in the order of the logits",
    "example.py": "classifies pictures with onnxruntime",
    "card.md": "this text",
}


def bundle(
    folder: RunFolder, output: Path, *, name: str = "", version: str = "", licence: str = NOT_STATED
) -> Manifest:
    """Pack the exported network with all that belongs to it; the same run gives the same bytes.

    Args:
        folder: with an exported network.
        output: file to write, as a whole or not at all.
        name: of the bundle; the run folder's if empty.
        version: of the bundle; made from its contents if empty.
        licence: of the model, in words.

    Raises:
        RunFolderError: nothing was exported.
        ExportError: what was exported is broken, or does not say how to feed it.
        InvalidBundleError: name or version are no plain file names.
    """
    if not folder.model.is_file():
        raise RunFolderError(
            f"{folder.model} does not exist", hint=f"run first: metanas export {folder.path}"
        )
    name = name or folder.path.resolve().name
    card = _card(folder, _metadata(folder.model), name=name, licence=licence)
    files = {
        "model.onnx": folder.model.read_bytes(),
        "labels.json": (json.dumps(card.labels, ensure_ascii=False) + "\n").encode(),
        "example.py": resources.files("metanas.deploy.bundle").joinpath("example.py").read_bytes(),
    }
    for file in _OPTIONAL:
        path = folder.path / file
        if not path.is_file() or (path == folder.verification and not card.verification):
            continue
        if path.suffix == ".onnx" and _metadata(path).get("architecture") != card.architecture:
            raise RunFolderError(
                f"{path} is of another network than {folder.model}",
                hint=f"export both again: metanas export {folder.path}",
            )
        files[file] = path.read_bytes()
    described = {file: text for file, text in (_ALWAYS | _OPTIONAL).items() if file in files}
    text = card.to_markdown(described | {"card.md": _ALWAYS["card.md"]})
    files["card.md"] = text.encode()
    return write_bundle(output, files, name=name, version=version, card=card.to_dict())


def _metadata(path: Path) -> dict[str, str]:
    try:
        model = onnx.load(path)
    except DecodeError as error:
        raise ExportError(f"{path} is no ONNX model", hint="export the network again") from error
    return {each.key: each.value for each in model.metadata_props}


def _card(folder: RunFolder, metadata: dict[str, str], *, name: str, licence: str) -> BundleCard:
    try:
        dataset, architecture = metadata["dataset"], metadata["architecture"]
        return BundleCard(
            name=name,
            architecture=architecture,
            labels=tuple(json.loads(metadata["labels"])),
            input_shape=tuple(json.loads(metadata["input_shape"])),
            feeding=metadata["preprocessing"],
            dataset=dataset,
            data_licence=DATA_LICENCES.get(dataset, NOT_STATED),
            licence=licence,
            limits=_limits(folder, architecture),
            accuracy=_accuracy(folder, architecture),
            verification=_verification(folder, architecture),
            provenance=json.loads(metadata["provenance"]),
        )
    except (KeyError, ValueError) as error:
        raise ExportError(
            f"{folder.model} does not say {error} in its metadata",
            hint=f"export it again: metanas export {folder.path}",
        ) from error


def _verification(folder: RunFolder, architecture: str) -> Verification | None:
    """None where another network was verified, or none."""
    if not folder.verification.is_file():
        return None
    verification = read_verification(folder.verification)
    return verification if verification.network.architecture == architecture else None


def _limits(folder: RunFolder, architecture: str) -> tuple[str, ...]:
    """Of the search that found the architecture."""
    if not folder.search.is_file():
        return ()
    search = folder.read_json(folder.search, made_by="metanas adapt")
    if search["winner"]["architecture"] != architecture:
        return ()
    return tuple(map(_limit, search["constraints"]))


def _limit(constraint: dict[str, Any]) -> str:
    device = f"[{constraint['device']}]" if constraint["device"] else ""
    return f"{constraint['metric']}{device} <= {constraint['limit']:.6g}"


def _accuracy(folder: RunFolder, architecture: str) -> dict[str, Any] | None:
    if not folder.evaluation.is_file():
        return None
    evaluation = folder.read_json(folder.evaluation, made_by="metanas adapt")
    for entry in evaluation.values():
        if entry["architecture"] == architecture:
            deployed: dict[str, Any] = entry["deployed"]
            return deployed
    return None
