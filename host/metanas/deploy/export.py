"""A trained network becomes one ONNX file that agrees with it."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import numpy_helper

from metanas.deploy.agreement import Logits, compare
from metanas.deploy.card import ModelCard
from metanas.errors import ExportError

if TYPE_CHECKING:
    from torch import nn

INPUT_NAME = "images"
OUTPUT_NAME = "logits"
OPSET = 18
"""Low enough for every onnxruntime since 1.14; the exporter writes nothing lower."""


def export_onnx(
    module: nn.Module, *, input_shape: tuple[int, int, int], metadata: ModelCard
) -> bytes:
    """Export a plain module, such as `Network.folded` gives, and check that the file agrees.

    The file has one input, `images` (batch, channels, height, width), and one output, `logits`
    (batch, ways); the batch is free.

    Args:
        module: takes and gives what the file does.
        input_shape: (channels, height, width) of one image, normalised.
        metadata: written into the file.

    Raises:
        ExportError: torch cannot export the module, or ONNX Runtime computes something else.
    """
    import torch  # noqa: PLC0415 - slow, and reading a verification needs none

    module = copy.deepcopy(module).cpu().eval()
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                module,
                (torch.zeros(2, *input_shape),),  # a batch of 1 would become a constant
                dynamo=True,
                verbose=False,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            )
        assert program is not None  # it is, where dynamo is asked for
        model = program.model_proto
    except Exception as error:  # the exporter's errors have no common root
        raise ExportError(
            f"torch cannot export this network: {_first_line(error)}",
            hint="use layers that torch.onnx.export supports, and a fitting input shape",
        ) from error
    _strip_traces(model)
    return _checked(model, module, input_shape, metadata)


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


def load_model(model: bytes) -> onnx.ModelProto:
    """Parse the bytes of an exported file.

    Raises:
        ExportError: they are no ONNX model of one image input and one output.
    """
    try:
        proto = onnx.load_model_from_string(model)
        onnx.checker.check_model(proto)
    except (DecodeError, onnx.checker.ValidationError) as error:
        raise ExportError(
            "not an ONNX model, or a broken one", hint="export the network again"
        ) from error
    if len(proto.graph.input) != 1 or len(proto.graph.output) != 1:
        raise ExportError(
            f"the ONNX model has {len(proto.graph.input)} inputs and "
            f"{len(proto.graph.output)} outputs",
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


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keep the exporter from talking: of absent libraries, its own deprecations, its graphs."""
    loggers = [logging.getLogger(f"torch.{part}") for part in ("onnx", "export", "fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    nowhere = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(nowhere), redirect_stderr(nowhere):
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _first_line(error: Exception) -> str:
    root = error
    while isinstance(root.__cause__, Exception):
        root = root.__cause__
    return f"{type(root).__name__}: {str(root).strip().partition(chr(10))[0][:200]}"


def _strip_traces(model: onnx.ModelProto) -> None:
    """Drop the exporter's stack traces: they carry the paths of this machine."""
    graph = model.graph
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    del graph.metadata_props[:]


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
    for batch in (1, 3):
        images = rng.standard_normal((batch, *input_shape), np.float32)
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        _check_agreement(expected, _run(data, images))
    return data


def _run(model: bytes, images: NDArray[np.float32]) -> Logits:
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
