"""A trained network becomes one ONNX file that agrees with it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from metanas.deploy.agreement import Logits, compare
from metanas.deploy.card import ModelCard
from metanas.deploy.exporter import trace_to_onnx
from metanas.deploy.opset import OPSET, choose_opset, convert_opset
from metanas.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

INPUT_NAME = "images"
OUTPUT_NAME = "logits"


def export_onnx(
    module: nn.Module,
    *,
    input_shape: tuple[int, int, int],
    metadata: ModelCard,
    batch: int | None = None,
    opset: int = OPSET,
) -> bytes:
    """Export a plain module, such as `Network.folded` gives, and check that the file agrees.

    The file has one input, `images` (batch, channels, height, width), and one output, `logits`
    (batch, ways).

    Args:
        module: takes and gives what the file does.
        input_shape: (channels, height, width) of one image, normalised.
        metadata: written into the file.
        batch: images a call; None leaves that free.
        opset: that the file is written in.

    Raises:
        ExportError: torch cannot export the module, the opset cannot express it, or ONNX Runtime
            computes something else.
    """
    import torch  # noqa: PLC0415 - slow, and reading a verification needs none

    choose_opset(opset, runtime_version=onnxruntime.__version__, device="this machine")
    module = copy.deepcopy(module).cpu().eval()
    model = trace_to_onnx(
        module,
        (torch.zeros(batch or 2, *input_shape),),  # a free batch of 1 would become a constant
        input_names=[INPUT_NAME],
        output_names=[OUTPUT_NAME],
        dynamic_shapes=None if batch else ({0: torch.export.Dim("batch", min=1)},),
    )
    return _checked(convert_opset(model, opset), module, input_shape, metadata)


def replace_weights(model: bytes, module: nn.Module, *, metadata: ModelCard) -> bytes:
    """An exported network with the weights of another module of the same architecture.

    Several tasks adapt one architecture; this is a hundred times faster than exporting each.

    Raises:
        ExportError: the bytes are no such model, or the module is of another architecture.
    """
    proto = load_model(model)
    state = {name: tensor.detach().cpu().numpy() for name, tensor in module.state_dict().items()}
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    for name, weights in state.items():
        if name not in stored or tuple(stored[name].dims) != weights.shape:
            raise ExportError(
                f"the exported network has no weights {name!r} of shape {weights.shape}",
                hint="export this network by itself: it is of another architecture",
            )
        stored[name].CopyFrom(numpy_helper.from_array(weights, name))
    return _checked(proto, copy.deepcopy(module).cpu().eval(), input_shape_of(proto), metadata)


def load_model(model: bytes, *, name: str = "the ONNX file") -> onnx.ModelProto:
    """Parse the bytes of an exported file.

    Args:
        model: the bytes.
        name: of the file, for errors.

    Raises:
        ExportError: they are no ONNX model of one image input and one output.
    """
    try:
        proto = onnx.load_model_from_string(model)
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExportError(
            f"{name} is not an ONNX model, or a broken one",
            hint="give an ONNX file, or export the network again",
        ) from error
    if len(proto.graph.input) != 1 or len(proto.graph.output) != 1:
        raise ExportError(
            f"{name} has {len(proto.graph.input)} inputs and {len(proto.graph.output)} outputs",
            hint="give a classifier with one input and one output",
        )
    return proto


def input_shape_of(model: onnx.ModelProto) -> tuple[int, int, int]:
    """(channels, height, width) of one image; 0 where the model leaves a size free.

    Raises:
        ExportError: the input is not (batch, channels, height, width).
    """
    sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    if len(sizes) != 4:
        raise ExportError(
            f"the ONNX model's input has {len(sizes)} dimensions",
            hint="give a model that takes (batch, channels, height, width)",
        )
    return (sizes[1], sizes[2], sizes[3])


def batch_of(model: onnx.ModelProto) -> int:
    """Images a call; 0 where the model leaves that free."""
    return int(model.graph.input[0].type.tensor_type.shape.dim[0].dim_value)


def _checked(
    model: onnx.ModelProto,
    module: nn.Module,
    input_shape: tuple[int, int, int],
    metadata: ModelCard,
) -> bytes:
    import torch  # noqa: PLC0415 - as above

    onnx.helper.set_model_props(model, metadata.to_metadata(input_shape))
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    rng = np.random.default_rng(0)
    for batch in [batch_of(model)] if batch_of(model) else (1, 3):
        images = rng.standard_normal((batch, *input_shape), np.float32)
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        _check_agreement(expected, run_onnx(data, images))
    return data


def run_onnx(model: bytes, images: NDArray[np.float32]) -> Logits:
    """The logits of an exported network for images of its batch, by ONNX Runtime in this process.

    Args:
        images: (batch, channels, height, width), float32.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    logits: Logits = session.run([OUTPUT_NAME], {INPUT_NAME: images})[0]
    return logits


def _check_agreement(expected: Logits, given: Logits) -> None:
    if not np.isfinite(expected).all():
        raise ExportError(
            "the network's own outputs are not finite numbers", hint="train the network again"
        )
    agreement = compare([(expected, given)])
    if not agreement.within:
        raise ExportError(
            f"ONNX Runtime and torch differ by {agreement.largest_share:.1e} of the logits' range "
            f"(allowed: {agreement.tolerance:.0e})",
            hint="report this network's architecture: the exporter or a runtime is wrong",
        )
