"""ONNX Runtime on the CPU: buffers bound before the clock starts, no spinning of one thread.

Several threads wait for work in the runtime's usual way, which is spinning.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from metanas_agent.errors import MeasurementFailedError
from metanas_agent.layers import LayerSpec
from metanas_agent.runtimes.images import images_for
from metanas_agent.runtimes.onnx_graph import layer_model, random_image
from metanas_agent.runtimes.onnx_inside import can_be_cut_out, cut_out
from metanas_agent.runtimes.runtime import SENTINEL_LAYER, Setup
from metanas_agent.sampler import Sampler, clocked
from metanas_agent.wire import Tensor

_FATAL_ONLY = 4
_PLACE = re.compile(r"/\S+\.(?:cc|h):\d+ .*?\) (?=[A-Z])")  # file, line and function


class OnnxRuntime:
    """Runs layers and models through onnxruntime's CPU provider."""

    name = "onnx"
    version: str = ort.__version__
    dtypes = ("float32", "int8")

    def __init__(self, setup: Setup) -> None:
        setup.check_is_plain(self.name, most_threads=None)
        self._threads = setup.threads
        if setup.threads > 1:
            self.version = f"{ort.__version__} {setup.threads} threads"

    def prepare(self, layer: LayerSpec, *, seed: int) -> Sampler:
        """See `Runtime`."""
        rng = np.random.default_rng(seed)
        image = random_image(layer, rng)
        if can_be_cut_out(layer):
            session = _session(cut_out(layer, rng, _write_optimised), _plain_options(self._threads))
        else:
            model = layer_model(layer, rng).SerializeToString()
            session = _session(model, _options(self._threads))
        return _bound(session, _as_taken(session, image))

    def sentinel(self) -> Sampler:
        """See `Runtime`."""
        return self.prepare(SENTINEL_LAYER, seed=0)

    def load(self, model: bytes) -> OnnxModel:
        """See `Runtime`."""
        try:
            session = _session(model, _options(self._threads))
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise MeasurementFailedError(
                f"onnxruntime {self.version} cannot load the model: {_first_line(error)}",
                hint="export it for this device: metanas export RUN --device NAME",
            ) from error
        return OnnxModel(session)


class OnnxModel:
    """A model with one float32 input of shape (1 or any, channels, height, width)."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session

    def run(self, inputs: Tensor) -> Tensor:
        """See `Model`."""
        images = self._images(inputs)
        (name,) = (value.name for value in self._session.get_inputs())
        first_output = self._session.get_outputs()[0].name
        outputs = np.concatenate(
            [
                self._session.run([first_output], {name: images[i : i + 1]})[0]
                for i in range(len(images))
            ]
        )
        return Tensor(data=outputs.astype("<f4").tobytes(), shape=outputs.shape)

    def peak_memory_bytes(self) -> int | None:
        """See `Model`."""
        return None

    def prepare(self, inputs: Tensor) -> Sampler:
        """See `Model`."""
        return _bound(self._session, self._images(inputs)[:1])

    def _images(self, inputs: Tensor) -> NDArray[np.float32]:
        wanted = self._session.get_inputs()
        if len(wanted) != 1 or wanted[0].type != "tensor(float)":
            kinds = ", ".join(f"{value.name}: {value.type}" for value in wanted)
            raise MeasurementFailedError(
                f"the model takes {kinds or 'no input'}", hint="it must take one float32 image"
            )
        return images_for(wanted[0].shape, inputs)


def _options(threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    if threads == 1:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = _FATAL_ONLY
    return options


def _plain_options(threads: int) -> ort.SessionOptions:
    """For a model that is optimised already."""
    options = _options(threads)
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return options


def _write_optimised(model: bytes, path: str) -> None:
    options = _options(threads=1)
    options.optimized_model_filepath = path
    _session(model, options)


def _session(model: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _bound(session: ort.InferenceSession, image: NDArray[Any]) -> Sampler:
    """Its input is in place already, and its output stays in the runtime."""
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, np.ascontiguousarray(image))
    for output in session.get_outputs():
        binding.bind_output(output.name)

    return clocked(lambda: session.run_with_iobinding(binding))


def _as_taken(session: ort.InferenceSession, image: NDArray[np.float32]) -> NDArray[Any]:
    """Values in [-1, 1) as the model's only input, which may be uint8 and in another layout."""
    (wanted,) = session.get_inputs()
    if wanted.type != "tensor(uint8)":
        return image
    codes: NDArray[np.uint8] = ((image + 1) * 128).astype(np.uint8).reshape(wanted.shape)
    return codes


def _first_line(error: Exception) -> str:
    """What it says, without the place in its source, which is long and hides the rest."""
    line = (str(error) or type(error).__name__).splitlines()[0]
    return _PLACE.sub("", line)[:300]
