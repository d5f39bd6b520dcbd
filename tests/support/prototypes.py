"""A small classifier by prototypes: `adapt.onnx`, its `model.onnx`, and pictures to learn from.

The weights of a class are the mean of its support images, so that what is learned can be computed
by hand; as files the two are like those of a deep network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SHAPE = (3, 8, 10)
WAYS = 3
COLOURS = {"moss": (40, 160, 60), "rust": (180, 70, 40), "sky": (90, 150, 230)}
METADATA = {
    "architecture": "prototypes",
    "labels": json.dumps(["a", "b", "c"]),
    "input_shape": json.dumps(SHAPE),
    "mean": json.dumps([0.4, 0.5, 0.6]),
    "std": json.dumps([0.2, 0.25, 0.3]),
}


def write_models(
    folder: Path,
    *,
    metadata: Mapping[str, str] = METADATA,
    shape: tuple[int, int, int] = SHAPE,
    ways: int = WAYS,
) -> Path:
    """Write both files; the path of `adapt.onnx`."""
    folder.mkdir(exist_ok=True)
    _write(folder / "model.onnx", _network(shape, ways), metadata)
    _write(folder / "adapt.onnx", _adaptation(shape, ways), {**metadata, "kind": "adaptation"})
    return folder / "adapt.onnx"


def write_pictures(
    folder: Path, *, count: int = 3, size: tuple[int, int] = (10, 8), seed: int = 0
) -> Path:
    """Class folders of noisy colours; `size` is width and height."""
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(-30, 30, (size[1], size[0], 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def prototypes(images: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float32]:
    """(ways, values): the mean of each class."""
    flat = images.reshape(len(images), -1)
    return np.stack([flat[classes == way].mean(0) for way in range(classes.max() + 1)])


def _network(shape: tuple[int, int, int], ways: int) -> onnx.GraphProto:
    values = int(np.prod(shape))
    return helper.make_graph(
        [
            helper.make_node("Flatten", ["images"], ["flat"]),
            helper.make_node("Gemm", ["flat", "weight", "bias"], ["logits"], transB=1),
        ],
        "prototypes",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", ways])],
        [
            numpy_helper.from_array(np.zeros((ways, values), np.float32), "weight"),
            numpy_helper.from_array(np.zeros(ways, np.float32), "bias"),
        ],
    )


def _adaptation(shape: tuple[int, int, int], ways: int) -> onnx.GraphProto:
    values = int(np.prod(shape))
    return helper.make_graph(
        [
            helper.make_node("Flatten", ["support_images"], ["flat"]),
            helper.make_node("Transpose", ["support_labels"], ["turned"]),
            helper.make_node("MatMul", ["turned", "flat"], ["sums"]),
            helper.make_node("ReduceSum", ["turned", "axis"], ["counts"]),
            helper.make_node("Div", ["sums", "counts"], ["weight"]),
            helper.make_node("Mul", ["weight", "weight"], ["squares"]),
            helper.make_node("ReduceSum", ["squares", "axis"], ["norms"], keepdims=0),
            helper.make_node("Mul", ["norms", "minus_half"], ["bias"]),
        ],
        "adaptation",
        [
            helper.make_tensor_value_info("support_images", TensorProto.FLOAT, ["images", *shape]),
            helper.make_tensor_value_info("support_labels", TensorProto.FLOAT, ["images", ways]),
        ],
        [
            helper.make_tensor_value_info("weight", TensorProto.FLOAT, [ways, values]),
            helper.make_tensor_value_info("bias", TensorProto.FLOAT, [ways]),
        ],
        [
            numpy_helper.from_array(np.array([1], np.int64), "axis"),
            numpy_helper.from_array(np.array(-0.5, np.float32), "minus_half"),
        ],
    )


def _write(path: Path, graph: onnx.GraphProto, metadata: Mapping[str, str]) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
