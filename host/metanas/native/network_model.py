"""NetworkModel: an ONNX file that has passed the checks a native program asks for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from metanas.errors import NativeBuildError

_LONGEST_MESSAGE = 300


@dataclass(frozen=True, slots=True, eq=False)
class NetworkModel:
    """A network for one image.

    Args:
        proto: the parsed file.
        image_shape: (channels, height, width).
    """

    proto: onnx.ModelProto
    image_shape: tuple[int, int, int]

    @property
    def input_name(self) -> str:
        """Name of the only input."""
        return str(self.proto.graph.input[0].name)

    @property
    def digest(self) -> str:
        """SHA-256 of what the network computes, without what the file says of itself."""
        versions = sorted((entry.domain, entry.version) for entry in self.proto.opset_import)
        digest = hashlib.sha256(repr(versions).encode())
        digest.update(self.proto.graph.SerializeToString(deterministic=True))
        return digest.hexdigest()


def parse_network(model: bytes) -> NetworkModel:
    """Parse an ONNX file.

    Raises:
        NativeBuildError: it is none, or not of one float32 image input (batch 1 or free) and one
            output.
    """
    try:
        proto = onnx.load_model_from_string(model)
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().partition("\n")[0][:_LONGEST_MESSAGE]
        raise NativeBuildError(
            f"not an ONNX model, or a broken one: {reason}", hint="export the network again"
        ) from error
    graph = proto.graph
    if len(graph.input) != 1 or len(graph.output) != 1:
        raise NativeBuildError(
            f"the network has {len(graph.input)} inputs and {len(graph.output)} outputs",
            hint="give a network with one input and one output",
        )
    return NetworkModel(proto, _image_shape(graph.input[0].type.tensor_type))


def _image_shape(tensor: onnx.TypeProto.Tensor) -> tuple[int, int, int]:
    sizes = [size.dim_value for size in tensor.shape.dim]  # 0 where a size is free
    if len(sizes) != 4 or sizes[0] > 1 or min(sizes[1:]) < 1:
        text = "x".join(size.dim_param or str(size.dim_value) for size in tensor.shape.dim)
        raise NativeBuildError(
            f"the network's input is {text or 'of unknown shape'}, not one image",
            hint="give a network that takes (1, channels, height, width), or a free batch",
        )
    if tensor.elem_type != onnx.TensorProto.FLOAT:
        raise NativeBuildError(
            f"the network's input is {onnx.TensorProto.DataType.Name(tensor.elem_type)}",
            hint="give a network that takes float32 images",
        )
    return (sizes[1], sizes[2], sizes[3])
