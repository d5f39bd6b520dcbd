"""torch on the CPU or on a CUDA device, timed by events on the device itself."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from metanas_agent.errors import MeasurementFailedError, RuntimeUnavailableError
from metanas_agent.layers import LayerSpec
from metanas_agent.runtimes.images import images_for
from metanas_agent.runtimes.onnx_graph import layer_model, random_image
from metanas_agent.runtimes.onnx_in_torch import TorchGraph
from metanas_agent.runtimes.runtime import SENTINEL_LAYER, Setup
from metanas_agent.sampler import Sampler, clocked
from metanas_agent.wire import Tensor

_STEADY_SAMPLES = 5
_STEADY = 1.02
_LONGEST_WARM_UP_S = 5.0
_WARM_UP_SIDE = 2048
_WARM_UP_REPEATS = 20


class TorchRuntime:
    """Runs layers and models eagerly, in full float32 precision.

    `version` names the GPU, the size of a batch that is not a single image, and more threads than
    one: rows of other devices, batches and threads are never merged.

    Raises:
        RuntimeUnavailableError: there is no such accelerator here.
    """

    name = "torch"
    dtypes = ("float32",)

    def __init__(self, setup: Setup) -> None:
        torch.set_num_threads(setup.threads)
        self._device = torch.device(setup.accelerator)
        self._batch = setup.batch
        details = [str(torch.__version__)]
        if setup.accelerator == "cuda":
            details.append(_open_cuda(self._device))
        if setup.batch > 1:
            details.append(f"batch {setup.batch}")
        if setup.threads > 1:
            details.append(f"{setup.threads} threads")
        self.version = " ".join(details)

    def prepare(self, layer: LayerSpec, *, seed: int) -> Sampler:
        """See `Runtime`."""
        rng = np.random.default_rng(seed)
        graph = TorchGraph(layer_model(layer, rng), self._device)
        images = np.concatenate([random_image(layer, rng) for _ in range(self._batch)])
        return _sampler(graph, torch.from_numpy(images), self._device)

    def sentinel(self) -> Sampler:
        """See `Runtime`."""
        return self.prepare(SENTINEL_LAYER, seed=0)

    def load(self, model: bytes) -> TorchModel:
        """See `Runtime`."""
        try:
            graph = onnx.load_model_from_string(model)
            onnx.checker.check_model(graph)
        except (DecodeError, onnx.checker.ValidationError) as error:
            reason = (str(error) or "it is empty").splitlines()[0]
            raise MeasurementFailedError(
                f"torch {self.version} cannot load the model: {reason:.300}",
                hint="check it with onnx.checker, and its opset",
            ) from error
        return TorchModel(graph, self._device, self._batch)


class TorchModel:
    """An ONNX model with one float32 image as its input, computed by torch."""

    def __init__(self, model: onnx.ModelProto, device: torch.device, batch: int) -> None:
        constants = {constant.name for constant in model.graph.initializer}
        inputs = [value for value in model.graph.input if value.name not in constants]
        if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise MeasurementFailedError(
                f"the model takes {', '.join(value.name for value in inputs) or 'no input'}",
                hint="it must take one float32 image",
            )
        self._wanted = [
            side.dim_value if side.HasField("dim_value") else side.dim_param
            for side in inputs[0].type.tensor_type.shape.dim
        ]
        self._device = device
        self._batch = batch
        self._graph = TorchGraph(model, device)

    def run(self, inputs: Tensor) -> Tensor:
        """See `Model`."""
        with torch.inference_mode():
            rows = [self._graph(image[None].to(self._device)) for image in self._images(inputs)]
            outputs = torch.cat(rows).cpu().numpy()
        return Tensor(data=outputs.astype("<f4").tobytes(), shape=outputs.shape)

    def peak_memory_bytes(self) -> int | None:
        """See `Model`."""
        return None

    def prepare(self, inputs: Tensor) -> Sampler:
        """See `Model`."""
        images = self._images(inputs)
        chosen = torch.arange(self._batch) % len(images)
        return _sampler(self._graph, images[chosen], self._device)

    def _images(self, inputs: Tensor) -> torch.Tensor:
        return torch.from_numpy(images_for(self._wanted, inputs).copy())


def _open_cuda(device: torch.device) -> str:
    """Ready the current CUDA device for timing; its name."""
    if not torch.cuda.is_available():
        raise RuntimeUnavailableError(
            "runtime unavailable: torch: there is no CUDA device, or this torch cannot use it",
            hint="look at nvidia-smi, and at torch.version.cuda on the device",
        )
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    square = torch.rand(_WARM_UP_SIDE, _WARM_UP_SIDE, device=device)
    warm_up(device_clocked(lambda: square @ square))
    return torch.cuda.get_device_name()


def _sampler(graph: TorchGraph, images: torch.Tensor, device: torch.device) -> Sampler:
    call = partial(graph, images.to(device))
    sampler = device_clocked(call) if device.type == "cuda" else clocked(call)
    return torch.inference_mode()(sampler)


def device_clocked(call: Callable[[], object]) -> Sampler:
    """The sampler of a call that queues work on the current CUDA stream.

    The device itself notes when it begins and when it ends; nothing else is under way then.
    """
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    def sample(repeats: int) -> float:
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        end.synchronize()
        elapsed_ms: float = begin.elapsed_time(end)
        return elapsed_ms

    return sample


def warm_up(sampler: Sampler, *, clock_s: Callable[[], float] = time.monotonic) -> None:
    """Keep a device busy until its clock has settled: until some samples last equally long."""
    recent: deque[float] = deque(maxlen=_STEADY_SAMPLES)
    begin = clock_s()
    while clock_s() - begin < _LONGEST_WARM_UP_S:
        recent.append(sampler(_WARM_UP_REPEATS))
        if len(recent) == _STEADY_SAMPLES and max(recent) <= _STEADY * min(recent):
            break
