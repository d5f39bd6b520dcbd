"""torch's exporter, kept quiet: a module becomes an ONNX graph that names no path of this machine.

The exporter writes one opset well; the others are made of that by ONNX's own converter.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import onnx

from metanas.deploy.opset import OPSET
from metanas.errors import ExportError

if TYPE_CHECKING:
    from torch import Tensor, nn


def trace_to_onnx(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: tuple[dict[int, Any], ...] | None = None,
) -> onnx.ModelProto:
    """Export a module in the opset `OPSET`.

    Args:
        module: on the CPU, and in the mode that it shall be exported in.
        inputs: an example of each input.
        input_names: what the graph calls them.
        output_names: likewise.
        dynamic_shapes: of each input, the dimensions that are free, as `torch.export` takes them.

    Raises:
        ExportError: torch cannot export the module.
    """
    import torch  # noqa: PLC0415 - slow, and reading a verification needs none

    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                module,
                inputs,
                dynamo=True,
                verbose=False,
                input_names=list(input_names),
                output_names=list(output_names),
                opset_version=OPSET,
                dynamic_shapes=dynamic_shapes,
            )
        assert program is not None  # it is, where dynamo is asked for
        model = program.model_proto
    except Exception as error:  # the exporter's errors have no common root
        raise ExportError(
            f"torch cannot export this network: {_first_line(error)}",
            hint="use layers that torch.onnx.export supports, and a fitting input shape",
        ) from error
    _strip_traces(model)
    return model


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
