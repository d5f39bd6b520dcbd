"""Runtime: what can execute a layer or a model on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from metanas_agent.errors import RuntimeUnavailableError
from metanas_agent.layers import ConvLayer, LayerSpec
from metanas_agent.sampler import Sampler
from metanas_agent.wire import Tensor

ACCELERATORS = ("cpu", "cuda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """How a runtime shall work.

    Args:
        accelerator: one of `ACCELERATORS`.
        artifact: the program that `native` starts.
        batch: images in one call that is timed.
        threads: how many share the work of a call.
    """

    accelerator: str = "cpu"
    artifact: Path | None = None
    batch: int = 1
    threads: int = 1

    def check_is_plain(self, name: str, *, most_threads: int | None = 1) -> None:
        """Of a runtime that knows nothing but single images on the CPU.

        Raises:
            RuntimeUnavailableError: more is asked of it.
        """
        if most_threads is not None and self.threads > most_threads:
            raise RuntimeUnavailableError(
                f"the runtime {name} uses one thread, not {self.threads}",
                hint="use the runtime onnx or torch for that",
            )
        if self.accelerator != "cpu" or self.batch != 1:
            raise RuntimeUnavailableError(
                f"the runtime {name} runs one image at a time on the CPU, "
                f"not {self.batch} on {self.accelerator}",
                hint="use the runtime torch for that",
            )


class Model(Protocol):
    """A whole network, loaded."""

    def run(self, inputs: Tensor) -> Tensor:
        """The first output, one row an image, each image run by itself.

        Raises:
            MeasurementFailedError: the inputs do not fit the model.
        """

    def prepare(self, inputs: Tensor) -> Sampler:
        """Runs the first image, or a batch that begins with it."""

    def peak_memory_bytes(self) -> int | None:
        """Of the process that runs it, where that is not this one and the system tells."""


class Runtime(Protocol):
    """One way to execute, made from a `Setup`.

    `version` names what else is unusual in the setup, so that unlike rows are never merged.
    `dtypes` are those of the layers that it runs.
    """

    name: str
    version: str
    dtypes: tuple[str, ...]

    def prepare(self, layer: LayerSpec, *, seed: int) -> Sampler:
        """Runs the layer with random weights on random images."""

    def sentinel(self) -> Sampler:
        """Runs a fixed piece of work, some microseconds of it, like what is measured."""

    def load(self, model: bytes) -> Model:
        """Load an ONNX model.

        Raises:
            MeasurementFailedError: it is not a model that can be run here.
        """


SENTINEL_LAYER = ConvLayer(16, 14, 14, out_channels=16, kernel=3)

RUNTIMES = {
    "native": "metanas_agent.runtimes.native:NativeRuntime",
    "onnx": "metanas_agent.runtimes.onnx:OnnxRuntime",
    "torch": "metanas_agent.runtimes.torch:TorchRuntime",
}
"""Name to where it is found; nothing is imported before it is asked for."""

PROGRAM_RUNTIMES = frozenset({"native"})
"""Those that run programs of the host and nothing else; they may be imported anywhere."""


def load_runtime(name: str, setup: Setup | None = None) -> Runtime:
    """Import a runtime. Only a child process should: native code may crash.

    Raises:
        RuntimeUnavailableError: no runtime has that name, it cannot be imported, or it cannot
            work as it is asked to.
    """
    if name not in RUNTIMES:
        raise RuntimeUnavailableError(
            f"unknown runtime {name!r}", hint=f"choose from {', '.join(RUNTIMES)}"
        )
    module, _, attribute = RUNTIMES[name].partition(":")
    try:
        runtime: Runtime = getattr(import_module(module), attribute)(setup or Setup())
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"runtime unavailable: {name}: {error}",
            hint=f"on the device, run: pip install 'metanas-agent[{name}]'",
        ) from error
    return runtime
