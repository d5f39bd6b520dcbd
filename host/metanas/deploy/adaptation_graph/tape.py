"""Taped: a layer that was written forwards, and can be written backwards."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from metanas.deploy.adaptation_graph.writer import Value

Backward = Callable[[Value], tuple[Value, ...]]


class Taped(NamedTuple):
    """A layer's output, and what writes its backward part.

    That is, from the gradient at the output, those at the layer's inputs.
    """

    output: Value
    backward: Backward
