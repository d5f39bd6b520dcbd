"""Static programs that the host compiled for this board: the runtime where there is no other.

One program runs every layer of a search space, another runs one network. Each prepared layer has a
process of its own, so that it begins with fresh memory.
"""

from __future__ import annotations

import sys
import time
from functools import singledispatch
from hashlib import sha256
from math import prod

from metanas_agent.errors import MeasurementFailedError, RuntimeUnavailableError
from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec
from metanas_agent.runtimes.program import HARNESS_VERSION, Program
from metanas_agent.runtimes.runtime import SENTINEL_LAYER, Setup
from metanas_agent.sampler import Sampler, clocked
from metanas_agent.wire import Tensor

_BYTES_PER_VALUE = 4
_SEEDS = 2**31
_SHOWN_DIGITS = 12
_SENTINEL_BYTES = bytes(8192)
_CLOCKS_RATIO = 1.01
_CLOCKS_STEP_MS = 1.0


class NativeRuntime:
    """Starts an uploaded program and asks it.

    `version` is the harness protocol's and, once a program was started, that program's target and
    the beginning of its hash: other code is another runtime.
    """

    name = "native"
    dtypes = ("float32",)

    def __init__(self, setup: Setup) -> None:
        if not sys.platform.startswith("linux"):
            raise RuntimeUnavailableError(
                f"runtime unavailable: native: programs are built for Linux, this is {sys.platform}"
            )
        setup.check_is_plain(self.name)
        self._artifact = setup.artifact
        self.version = HARNESS_VERSION

    def prepare(self, layer: LayerSpec, *, seed: int) -> Sampler:
        """See `Runtime`."""
        return _layer_sampler(self._start("layers"), layer, seed)

    def sentinel(self) -> Sampler:
        """See `Runtime`. A network's program knows no layers; then it is a hash."""
        program = self._start()
        if program.kind == "layers":
            return _layer_sampler(program, SENTINEL_LAYER, seed=0)
        return clocked(lambda: sha256(_SENTINEL_BYTES))

    def load(self, model: bytes) -> NativeModel:
        """See `Runtime`; the program is the model."""
        if model:
            raise MeasurementFailedError(
                "the runtime native runs programs, not ONNX models",
                hint="upload the program that the host builds from the model",
            )
        return NativeModel(self._start("network"))

    def _start(self, kind: str = "") -> Program:
        if self._artifact is None:
            raise RuntimeUnavailableError(
                "the runtime native needs a program, and none was uploaded",
                hint="use a device whose profile names a target, such as pi0",
            )
        program = Program(self._artifact)
        if kind not in ("", program.kind):
            raise MeasurementFailedError(
                f"the program runs {program.kind:.20}, not {kind}", hint="upload the right one"
            )
        digits = self._artifact.name[:_SHOWN_DIGITS]
        self.version = f"{HARNESS_VERSION} {program.target:.40} {digits}"
        return program


class NativeModel:
    """A network as a program, which runs one image at a time."""

    def __init__(self, program: Program) -> None:
        if len(program.numbers) != 4:
            raise MeasurementFailedError(
                f"the program does not say what it takes, only {program.numbers}",
                hint="build it again for this device",
            )
        self._program = program
        *image, self._outputs = program.numbers
        self._image_shape = tuple(image)

    def run(self, inputs: Tensor) -> Tensor:
        """See `Model`."""
        images = self._images(inputs)
        data = b"".join(self._run_one(image) for image in images)
        return Tensor(data=data, shape=(len(images), self._outputs))

    def prepare(self, inputs: Tensor) -> Sampler:
        """See `Model`."""
        self._run_one(self._images(inputs)[0])
        return _sampler(self._program)

    def peak_memory_bytes(self) -> int | None:
        """See `Model`."""
        return self._program.peak_memory_bytes()

    def _run_one(self, image: bytes) -> bytes:
        self._program.ask("input", image, answer="ok")
        self._program.ask_number("run 1", answer="ns")
        return self._program.ask_bytes("output", _BYTES_PER_VALUE * self._outputs)

    def _images(self, inputs: Tensor) -> list[bytes]:
        if inputs.shape[1:] != self._image_shape:
            raise MeasurementFailedError(
                f"the program takes images of {list(self._image_shape)}, "
                f"these are {list(inputs.shape[1:])}",
                hint="give images of the size that the model was exported for",
            )
        size = _BYTES_PER_VALUE * prod(self._image_shape)
        return [inputs.data[begin : begin + size] for begin in range(0, len(inputs.data), size)]


def _layer_sampler(program: Program, layer: LayerSpec, seed: int) -> Sampler:
    program.ask(f"layer {_command(layer, seed % _SEEDS)}", answer="ok")
    return _sampler(program)


def _sampler(program: Program) -> Sampler:
    """By the program's own clock, which cannot have gone further than ours."""

    def sample(repeats: int) -> float:
        begin = time.perf_counter()
        elapsed_ms = program.ask_number(f"run {repeats}", answer="ns") / 1e6
        longest_ms = (time.perf_counter() - begin) * 1e3
        if elapsed_ms > longest_ms * _CLOCKS_RATIO + _CLOCKS_STEP_MS:
            raise MeasurementFailedError(
                f"the program answered rubbish: a run of {elapsed_ms:.3f} ms "
                f"that took {longest_ms:.3f} ms",
                hint="build it again for this device",
            )
        return elapsed_ms

    return sample


@singledispatch
def _command(layer: LayerSpec, _seed: int) -> str:
    raise MeasurementFailedError(
        f"the runtime native knows no {layer.op} layer",
        hint="use a device with the runtime onnx or torch for networks of cells",
    )


def _words(*words: object) -> str:
    return " ".join(map(str, words))


@_command.register
def _(layer: ConvLayer, seed: int) -> str:
    sizes = (*layer.input_shape, layer.out_channels, layer.kernel, layer.stride)
    return _words("conv", *sizes, layer.activation, layer.pool, seed)


@_command.register
def _(layer: AddLayer, seed: int) -> str:
    return _words("add", *layer.input_shape, layer.activation, layer.pool, seed)


@_command.register
def _(layer: HeadLayer, seed: int) -> str:
    return _words("head", *layer.input_shape, layer.pool, layer.ways, seed)


@_command.register
def _(layer: EmptyLayer, _seed: int) -> str:
    return _words("empty", *layer.input_shape)
