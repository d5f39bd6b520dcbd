"""Runtime: what can execute a layer or a model on this machine."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Protocol

from metanas_agent.errors import RuntimeUnavailableError
from metanas_agent.layers import LayerSpec
from metanas_agent.wire import Tensor


class Model(Protocol):
    """A whole network, loaded."""

    def run(self, inputs: Tensor) -> Tensor:
        """The first output, one row an image, each image run by itself.

        Raises:
            MeasurementFailedError: the inputs do not fit the model.
        """

    def prepare(self, inputs: Tensor) -> Callable[[], object]:
        """A call, to be timed, that runs the first image."""


class Runtime(Protocol):
    """One way to execute; it uses one thread."""

    name: str
    version: str

    def prepare(self, layer: LayerSpec, *, seed: int) -> Callable[[], object]:
        """A call, to be timed, that runs the layer with random weights on a random image."""

    def load(self, model: bytes) -> Model:
        """Load an ONNX model.

        Raises:
            MeasurementFailedError: it is not a model that can be run here.
        """


RUNTIMES = {"onnx": "metanas_agent.runtimes.onnx:OnnxRuntime"}
"""Name to where it is found; nothing is imported before it is asked for."""


def load_runtime(name: str) -> Runtime:
    """Import a runtime. Only a child process should: native code may crash.

    Raises:
        RuntimeUnavailableError: no runtime has that name, or it cannot be imported.
    """
    if name not in RUNTIMES:
        raise RuntimeUnavailableError(
            f"unknown runtime {name!r}", hint=f"choose from {', '.join(RUNTIMES)}"
        )
    module, _, attribute = RUNTIMES[name].partition(":")
    try:
        runtime: Runtime = getattr(import_module(module), attribute)()
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"runtime unavailable: {name}: {error}",
            hint=f"on the device, run: pip install 'metanas-agent[{name}]'",
        ) from error
    return runtime
