"""An ONNX file by itself as something to verify: fed as it says, computed as the format says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from metanas.deploy.adapted_network import AdaptedNetwork
from metanas.deploy.agreement import Logits
from metanas.deploy.export import input_shape_of, load_model
from metanas.errors import DataError, ExportError

_FATAL_ONLY = 4


def adapted_from_file(
    model: bytes,
    *,
    pictures: Path | None = None,
    count: int = 20,
    seed: int = 0,
    name: str = "the ONNX file",
) -> AdaptedNetwork:
    """A model, images for it, and what it makes of them on the host.

    The host runs every node by itself, as the format describes it: what a runtime fuses, re-lays or
    skips is not shared with the device.

    Args:
        model: the file; without `metanas`' metadata only random images can be given to it.
        pictures: a folder of pictures, or of a folder of pictures for each of the model's labels.
        count: random images, if there are no pictures.
        seed: of the random images, which are standard normal, as normalised images are.
        name: of the file, for errors.

    Raises:
        ArchiveError: a picture is broken.
        DataError: there is no picture, or a folder that is no class of the model.
        EmptyClassError: a class folder has no picture.
        ExportError: the model is broken, runs nowhere, or does not say how to feed it.
    """
    proto = load_model(model, name=name)
    shape = input_shape_of(proto)
    if 0 in shape:
        raise ExportError(
            f"{name} leaves the size of its images free",
            hint="export it for images of one size",
        )
    if pictures is None:
        labels = np.full(count, -1)
        images = np.random.default_rng(seed).standard_normal((count, *shape), np.float32)
    else:
        images, labels = _read(pictures, proto, shape)
    return AdaptedNetwork(
        model=model, images=images, labels=labels, host_logits=_unfused(model, images)
    )


def architecture_of(model: bytes) -> str:
    """The architecture that the file says it has, empty if it does not say."""
    return _metadata(load_model(model)).get("architecture", "")


def _metadata(proto: onnx.ModelProto) -> dict[str, str]:
    return {entry.key: entry.value for entry in proto.metadata_props}


def _read(
    pictures: Path, proto: onnx.ModelProto, shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
    """Pictures as the model wants them, and their labels: -1 outside class folders."""
    if shape[0] not in (1, 3):
        raise DataError(
            f"the model takes images of {shape[0]} channels, pictures have 1 or 3",
            hint="verify it with random images",
        )
    if not pictures.is_dir():
        raise DataError(f"{pictures} is no folder", hint="give a folder of pictures")
    names, inverted, mean, std = _feeding(proto, shape[0])
    if any(entry.is_dir() for entry in pictures.iterdir()):
        pixels, labels = _classes(pictures, names, shape)
    else:
        pixels = _pictures(pictures, shape)
        labels = np.full(len(pixels), -1)
    if inverted:
        pixels = np.invert(pixels)
    return ((pixels / np.float32(255) - mean) / std).astype(np.float32), labels


def _classes(
    folder: Path, names: Sequence[str], shape: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.integer]]:
    from metanas.data.tree import open_tree  # noqa: PLC0415 - its room imports torch

    with open_tree(folder) as tree:
        classes = tree.classes(shape)
        if strangers := {each.name for each in classes} - set(names):
            raise DataError(
                f"{folder}: {min(strangers)!r} is no class of the model, which knows "
                f"{', '.join(names)}",
                hint="name the class folders so, or give a folder of pictures without folders",
            )
        pixels = np.concatenate([each.read() for each in classes])
    labels = [names.index(each.name) for each in classes for _ in range(each.count)]
    return pixels, np.array(labels)


def _pictures(folder: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    from metanas.data.pictures import SUFFIXES, decode  # noqa: PLC0415 - as above

    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise DataError(f"no picture in {folder}", hint="put PNG or JPEG files there")
    return np.stack([decode(path.read_bytes(), shape, where=str(path)) for path in paths])


def _feeding(
    proto: onnx.ModelProto, channels: int
) -> tuple[list[str], bool, NDArray[np.float32], NDArray[np.float32]]:
    """Labels, whether pictures are inverted, mean and std (channels, 1, 1), as the model says."""
    said = _metadata(proto)
    try:
        mean, std = (
            np.array(json.loads(said[key]), np.float32).reshape(channels, 1, 1)
            for key in ("mean", "std")
        )
        labels = [str(label) for label in json.loads(said.get("labels", "[]"))]
        return labels, json.loads(said.get("inverted", "false")) is True, mean, std
    except (KeyError, ValueError, TypeError) as error:
        raise ExportError(
            f"the model does not say how pictures become its input: {error}",
            hint="export it with `metanas export`, or verify it with random images",
        ) from error


def _unfused(model: bytes, images: NDArray[np.float32]) -> Logits:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (name,) = (value.name for value in session.get_inputs())
        rows = [session.run(None, {name: image[None]})[0] for image in images]
        logits: Logits = np.concatenate(rows)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ExportError(
            f"ONNX Runtime cannot run the model with one image: {str(error).splitlines()[0][:200]}",
            hint="export it with a free batch, or one of 1",
        ) from error
    return logits
