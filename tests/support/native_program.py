"""A native program under test: its side of harness protocol 1 is the real one."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from metanas_agent.layers import AddLayer, ConvLayer, EmptyLayer, HeadLayer, LayerSpec

Array = NDArray[np.float32]


class NativeProgram:
    """A running program; leaving the context ends it."""

    def __init__(self, path: Path, emulator: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*emulator, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.title = self.read_line()

    def __enter__(self) -> NativeProgram:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # of what it did not read
                pipe.close()

    def ask(self, line: str) -> str:
        self.send(line.encode() + b"\n")
        return self.read_line()

    def ask_floats(self, line: str) -> Array:
        word, size = self.ask(line).split()
        assert word == "bytes"
        return np.frombuffer(self.read(int(size)), "<f4")

    def read(self, size: int) -> bytes:
        assert self._process.stdout is not None
        data = self._process.stdout.read(size)
        assert len(data) == size
        return data

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def read_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line.endswith(b"\n")
        return line[:-1].decode()

    def end(self) -> int:
        """Close its input; the status that it ends with."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return self.wait()

    def wait(self) -> int:
        """The status that it ends with by itself."""
        return self._process.wait(30)

    def prepare(self, layer: LayerSpec, *, seed: int = 1) -> str:
        return self.ask(f"layer {words(layer)}" + ("" if layer.op == "empty" else f" {seed}"))


def words(layer: LayerSpec) -> str:
    """A layer as the protocol writes it, without its seed."""
    shape = " ".join(map(str, layer.input_shape))
    match layer:
        case ConvLayer():
            return (
                f"conv {shape} {layer.out_channels} {layer.kernel} {layer.stride}"
                f" {layer.activation} {layer.pool}"
            )
        case AddLayer():
            return f"add {shape} {layer.activation} {layer.pool}"
        case HeadLayer():
            return f"head {shape} {layer.pool} {layer.ways}"
        case EmptyLayer():
            return f"empty {shape}"
    raise TypeError(layer)
