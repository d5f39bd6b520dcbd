"""A trained-looking VGG9 network, and a device that runs models in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from torch import nn

from metanas.deploy import AdaptedNetwork, Prediction, export_onnx, replace_weights
from metanas.devices.device import ModelRun
from metanas.errors import MeasurementFailedError
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings
from support.random_networks import INPUT_SHAPE, make_adapted, make_card, random_vgg9


@dataclass
class InProcessDevice:
    """ONNX Runtime in this process; `tamper` spoils its outputs, `factor` its latency."""

    tamper: Callable[[NDArray[np.float32]], NDArray[np.float32]] = lambda outputs: outputs
    factor: float = 1.0
    verdict: str = "trusted"
    name: str = "in-process"

    def run_model(
        self, model: bytes, inputs: NDArray[np.float32], settings: TimerSettings
    ) -> ModelRun:
        try:
            session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise MeasurementFailedError(f"{self.name}: cannot load the model") from error
        name = session.get_inputs()[0].name
        start = perf_counter()
        outputs = np.concatenate([session.run(None, {name: image[None]})[0] for image in inputs])
        latency_ms = (perf_counter() - start) * 1e3 / len(inputs) * self.factor
        latency = Measurement(
            key=hashlib.sha256(model).hexdigest(),
            **dict.fromkeys(("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"), latency_ms),
            samples=len(inputs),
            repeats=1,
            source="measured",
            runtime="onnx",
            runtime_version=onnxruntime.__version__,
            verdict=self.verdict,
        )
        return ModelRun(self.tamper(outputs), latency, 1_000_000)


@pytest.fixture(scope="session")
def module() -> nn.Module:
    return random_vgg9()


@pytest.fixture(scope="session")
def model(module: nn.Module) -> bytes:
    return export_onnx(module, input_shape=INPUT_SHAPE, metadata=make_card())


@pytest.fixture(scope="session")
def networks(module: nn.Module, model: bytes) -> list[AdaptedNetwork]:
    """Three tasks' networks of one architecture."""
    others = [random_vgg9(seed=seed) for seed in (1, 2)]
    return [
        make_adapted(module, model, 0),
        *(
            make_adapted(other, replace_weights(model, other, metadata=make_card()), seed)
            for seed, other in enumerate(others, start=1)
        ),
    ]


@pytest.fixture
def predicted() -> Prediction:
    return Prediction(latency_ms=0.2, low_ms=0.19, high_ms=0.21, source="measured")


@pytest.fixture
def make_device() -> type[InProcessDevice]:
    return InProcessDevice
