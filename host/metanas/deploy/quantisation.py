"""An exported network becomes an int8 one: static QDQ quantisation, weights per channel."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from metanas.deploy.export import input_shape_of, load_model
from metanas.deploy.int8_head import with_convolutional_head
from metanas.errors import ExportError

DTYPE_KEY = "dtype"
"""Metadata property that names what a file computes in; a file without it computes in float32."""

_OPERATORS = (
    *("Conv", "Add", "Gemm"),
    *("Relu", "Clip", "Sigmoid", "LeakyRelu", "Elu", "Selu"),
    *("MaxPool", "AveragePool", "Flatten"),
)
"""All of the spaces' operators. Runtimes have no Elu and Selu in int8 and compute those in float32
between int8 maps; were they left out here, the pooling behind them would be in float32 too."""

_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""What the quantiser's own preparation leaves in a file: there is no batch-norm to fold any more,
and the quantiser infers shapes anyway."""


def quantise(model: bytes, images: NDArray[np.float32]) -> bytes:
    """Quantise weights (int8, per channel) and maps (uint8) of an exported network.

    The ranges of the maps are the smallest and largest values that the calibration images give.

    Args:
        model: an exported float32 network with one input (batch, channels, height, width).
        images: calibration images, normalised as the network's: (images, channels, height, width).

    Returns:
        A file with the same input, output and metadata, and `dtype` = `int8` among the latter.

    Raises:
        ExportError: the model is broken or quantised already, or the images do not fit it.
    """
    proto = load_model(model)
    _check_float(proto)
    _check_images(proto, images)
    proto = with_convolutional_head(proto)
    metadata = {prop.key: prop.value for prop in proto.metadata_props}
    onnx.helper.set_model_props(proto, metadata | _PREPARED)
    with tempfile.TemporaryDirectory(prefix="metanas-") as folder:
        given, quantised = Path(folder, "float32.onnx"), Path(folder, "int8.onnx")
        onnx.save_model(proto, given)
        quantize_static(
            given,
            quantised,
            _Calibration(proto.graph.input[0].name, images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        result = onnx.load_model(quantised)
    onnx.helper.set_model_props(result, metadata | {DTYPE_KEY: "int8"})
    onnx.checker.check_model(result, full_check=True)
    data: bytes = result.SerializeToString(deterministic=True)
    return data


class _Calibration(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Gives the images one after the other, as a board gets them."""

    def __init__(self, name: str, images: NDArray[np.float32]) -> None:
        self._feeds = ({name: image[None]} for image in images)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)


def _check_float(proto: onnx.ModelProto) -> None:
    if any(node.op_type == "QuantizeLinear" for node in proto.graph.node):
        raise ExportError(
            "the ONNX model is quantised already", hint="give the float32 file that it was made of"
        )


def _check_images(proto: onnx.ModelProto, images: NDArray[np.float32]) -> None:
    wanted, given = input_shape_of(proto), images.shape
    fits = len(given) == 4 and all(w in (0, g) for w, g in zip(wanted, given[1:], strict=True))
    if not fits or not len(images):
        raise ExportError(
            f"calibration images of {list(given)} for a model that takes {list(wanted)} each",
            hint="give some images (images, channels, height, width) as the model takes them",
        )
    if not np.isfinite(images).all():
        raise ExportError(
            "the calibration images are not finite numbers", hint="give normalised images"
        )
