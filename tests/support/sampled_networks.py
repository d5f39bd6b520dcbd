"""Exported networks of the search spaces, with weights as if trained."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import onnxruntime
import pytest

from metanas.deploy import export_onnx
from metanas.native.cache import Artifact
from metanas.native.targets import find_target
from metanas.spaces import make_space
from metanas.spaces.space import SearchSpace
from support.native_program import Array, NativeProgram
from support.random_networks import WAYS, make_card, random_network


def sampled_network(
    space_name: str, seed: int, input_shape: tuple[int, int, int], **settings: str | int | bool
) -> bytes:
    """The ONNX file of a random architecture of a space."""
    space = make_space(space_name, input_shape=input_shape, ways=WAYS, **settings)
    genes = space.sample(1, np.random.default_rng(seed))[0]
    return export_architecture(space, str(space.from_genes(genes)), seed)


def export_architecture(space: SearchSpace[Any], text: str, seed: int = 0) -> bytes:
    """The ONNX file of one architecture, with random weights and random images' statistics."""
    module = random_network(space, text, seed=seed)
    card = make_card(text, channels=space.input_shape[0])
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
