"""NetworkProgram: a lowered network as plain values - tensors, and kernel calls in order."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A dense tensor of a program.

    Args:
        dtype: as NumPy names it.
        constant: its value, where it is known while building; None is computed on the device.
    """

    shape: tuple[int, ...]
    dtype: str
    constant: NDArray[Any] | None = None

    @property
    def size_bytes(self) -> int:
        """Bytes of memory that it takes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class KernelCall:
    """One kernel's run.

    Args:
        kernel: name of the PrimFunc.
        inputs: tensors that it reads, as indices into the program's.
        outputs: tensors that it writes, which follow the inputs in its arguments.
    """

    kernel: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkProgram:
    """What runs on the device: calls in order, over `tensors`, from `input` to `output`."""

    tensors: tuple[Tensor, ...]
    calls: tuple[KernelCall, ...]
    input: int
    output: int

    @property
    def output_count(self) -> int:
        """Values of the output."""
        return math.prod(self.tensors[self.output].shape)

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the kernels that are called, each once, in order of their first call."""
        return tuple(dict.fromkeys(call.kernel for call in self.calls))
