"""Exported networks of the search spaces, with weights as if trained."""

from __future__ import annotations

import shutil

import numpy as np
import onnxruntime
import pytest
import torch

from metanas.deploy import ModelCard, export_onnx
from metanas.native.cache import Artifact
from metanas.native.targets import find_target
from metanas.spaces import make_space
from metanas.spaces.network import Moments, Statistics
from metanas.spaces.space import SearchSpace
from support.native_program import Array, NativeProgram

WAYS = 5


def sampled_network(
    space_name: str, seed: int, input_shape: tuple[int, int, int], **settings: str | int | bool
) -> bytes:
    """The ONNX file of a random architecture of a space."""
    space = make_space(space_name, input_shape=input_shape, ways=WAYS, **settings)
    genes = space.sample(1, np.random.default_rng(seed))[0]
    return export_architecture(space, str(space.from_genes(genes)), seed)


def export_architecture(space: SearchSpace, text: str, seed: int = 0) -> bytes:
    """The ONNX file of one architecture, with random weights and random images' statistics."""
    network = space.network(space.parse(text))
    generator = torch.Generator().manual_seed(seed)

    def draw(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.2

    adapted = {name: draw(shape) for name, shape in network.adapted_shapes.items()}
    norms = {name: 1 + draw(shape) for name, shape in network.norm_shapes.items()}
    recorded: Statistics = {}
    images = torch.randn(1, 4, *space.input_shape, generator=generator)
    network({name: t[None] for name, t in adapted.items()}, norms, images, record=recorded)
    statistics = {
        name: Moments(moments.mean[0], moments.variance[0]) for name, moments in recorded.items()
    }
    channels = space.input_shape[0]
    card = ModelCard(
        architecture=text,
        dataset="random",
        labels=tuple(map(str, range(WAYS))),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
    )
    module = network.folded(adapted, norms, statistics)
    return export_onnx(module, input_shape=space.input_shape, metadata=card)


def run_onnx(model: bytes, image: Array) -> Array:
    """The output of ONNX Runtime for one image, flat."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    output: Array = session.run(None, {name: image[None]})[0]
    return output.ravel()


def run_native(artifact: Artifact, image: Array) -> Array:
    """The output of a network's program for one image, flat; by an emulator where it must."""
    emulator = find_target(artifact.target).emulator
    if emulator and shutil.which(emulator[0]) is None:
        pytest.skip(f"needs {emulator[0]}: apt install qemu-user-static")
    with NativeProgram(artifact.path, emulator) as program:
        program.send(b"input\n" + image.astype("<f4").tobytes())
        assert program.read_line() == "ok"
        assert program.ask("run 1").startswith("ns ")
        return program.ask_floats("output")


def relative_difference(given: Array, expected: Array) -> float:
    """The largest difference, as a share of the largest expected value."""
    return float(np.abs(given - expected).max() / np.abs(expected).max())
