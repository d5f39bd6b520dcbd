"""A trained-looking VGG9 network, and a device that runs models in this process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from metanas.deploy import AdaptedNetwork, ModelCard, Prediction, export_onnx, replace_weights
from metanas.devices.device import ModelRun
from metanas.errors import MeasurementFailedError
from metanas.spaces import VGG9Space
from metanas.spaces.network import Moments, Statistics
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings

WAYS = 5
INPUT_SHAPE = (1, 28, 28)
ARCHITECTURE = "k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu"


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


def make_module(
    text: str,
    *,
    seed: int = 0,
    input_shape: tuple[int, int, int] = INPUT_SHAPE,
    **settings: str | int | bool,
) -> nn.Module:
    space = VGG9Space(input_shape=input_shape, ways=WAYS, **settings)  # type: ignore[arg-type]
    network = space.network(space.parse(text))
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    adapted = {name: draw(shape) for name, shape in network.adapted_shapes.items()}
    norms = {name: 1 + draw(shape) for name, shape in network.norm_shapes.items()}
    recorded: Statistics = {}
    batch = {name: tensor[None] for name, tensor in adapted.items()}
    images = torch.randn((1, 10, *input_shape), generator=generator)
    network(batch, norms, images, record=recorded)
    statistics = {name: Moments(m.mean[0], m.variance[0]) for name, m in recorded.items()}
    return network.folded(adapted, norms, statistics)


def make_card(text: str = ARCHITECTURE, channels: int = 1) -> ModelCard:
    return ModelCard(
        architecture=text,
        dataset="glyphs",
        labels=tuple("ABCDÉ"),
        mean=(0.1,) * channels,
        std=(0.3,) * channels,
        seed=7,
    )


def make_adapted(module: nn.Module, model: bytes, seed: int) -> AdaptedNetwork:
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((8, *INPUT_SHAPE), np.float32)
    with torch.no_grad():
        logits = module(torch.from_numpy(images)).numpy()
    labels = rng.integers(0, WAYS, len(images))
    return AdaptedNetwork(model=model, images=images, labels=labels, host_logits=logits)


@pytest.fixture(scope="session")
def module() -> nn.Module:
    return make_module(ARCHITECTURE)


@pytest.fixture(scope="session")
def model(module: nn.Module) -> bytes:
    return export_onnx(module, input_shape=INPUT_SHAPE, metadata=make_card())


@pytest.fixture(scope="session")
def networks(module: nn.Module, model: bytes) -> list[AdaptedNetwork]:
    """Three tasks' networks of one architecture."""
    others = [make_module(ARCHITECTURE, seed=seed) for seed in (1, 2)]
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


@pytest.fixture(name="make_module")
def _make_module() -> Callable[..., nn.Module]:
    return make_module


@pytest.fixture(name="make_card")
def _make_card() -> Callable[..., ModelCard]:
    return make_card


@pytest.fixture
def make_device() -> type[InProcessDevice]:
    return InProcessDevice
