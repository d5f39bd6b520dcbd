"""An ONNX file in ONNX Runtime, with its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from metanas_agent.errors import InvalidModelError

_FATAL_ONLY = 4

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model that is ready to run.

    Args:
        name: for errors.
        metadata: what the file says of itself.
    """

    name: str
    metadata: Mapping[str, str]
    _session: ort.InferenceSession

    @property
    def inputs(self) -> dict[str, Sequence[object]]:
        """Name of each input to its sides; what is no number is free."""
        return {value.name: value.shape for value in self._session.get_inputs()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return tuple(value.name for value in self._session.get_outputs())

    def run(self, inputs: Mapping[str, Floats]) -> dict[str, Floats]:
        """Name of each output to its values.

        Raises:
            InvalidModelError: the runtime cannot run the model on these inputs.
        """
        try:
            values = self._session.run(None, dict(inputs))
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise InvalidModelError(
                f"{self.name} cannot be run by onnxruntime {ort.__version__}: {_first_line(error)}",
                hint="export it again",
            ) from error
        return dict(zip(self.outputs, values, strict=True))


def load_model(model: Path | bytes, *, name: str) -> LoadedModel:
    """Load a file, or the bytes of one, to be run once or a few times.

    What a runtime prepares for many runs would take longer than the run itself: an adaptation
    graph has thousands of operations on few numbers.

    Raises:
        InvalidModelError: it is no ONNX model, or not one that this runtime can load.
    """
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_reuse = False  # planning it takes as long as the square of the operations
    try:
        data = model.read_bytes() if isinstance(model, Path) else model
    except OSError as error:
        raise InvalidModelError(
            f"{name} cannot be read: {error.strerror}", hint="check the path and its rights"
        ) from error
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise InvalidModelError(
            f"{name} cannot be loaded by onnxruntime {ort.__version__}: {_first_line(error)}",
            hint="export it for this device: metanas export RUN --device NAME",
        ) from error
    return LoadedModel(name, session.get_modelmeta().custom_metadata_map, session)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
