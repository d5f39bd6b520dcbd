"""LayerIndex: the distinct layers of a space, numbered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metanas_agent.layers import LayerSpec

Table = NDArray[np.int64]
"""Numbers of layers, one axis a choice."""


class LayerIndex:
    """Numbers layers in the order in which they are first seen; equal ones share a number."""

    def __init__(self) -> None:
        self._numbers: dict[LayerSpec, int] = {}

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """Every layer seen, in the order of its number."""
        return tuple(self._numbers)

    def table(self, make: Callable[..., LayerSpec], *axes: Sequence[Any]) -> Table:
        """Numbers of `make(a, b, ...)` for every combination of values of the axes.

        Returns:
            One dimension an axis, as long as the axis.
        """
        numbers = [
            self._numbers.setdefault(make(*values), len(self._numbers)) for values in product(*axes)
        ]
        return np.array(numbers, np.int64).reshape([len(axis) for axis in axes])
