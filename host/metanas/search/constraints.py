"""Constraints: upper limits on what an architecture costs, on any number of devices."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ConstraintError, ConstraintSyntaxError
from metanas.profiling import LatencyTable
from metanas.spaces import Architecture, Genes, SearchSpace

A = TypeVar("A", bound=Architecture)

COUNTS = ("params", "size_bytes", "macs")
LATENCY = "latency_ms"

_TEXT = re.compile(
    r"\s*(?P<metric>[a-z_]+)\s*(?:\[\s*(?P<device>[^\]\s]+)\s*\])?\s*<=?\s*"
    r"(?P<limit>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>%|[kKM]?)\s*"
)
_MULTIPLES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}


@dataclass(frozen=True, slots=True)
class Constraint:
    """An upper limit; prints as `latency_ms[pi0]<=20`, and `Costs.parse` reads it back exactly.

    Args:
        metric: `latency_ms`, `params`, `size_bytes` or `macs`.
        limit: in the metric's unit.
        device: whose latency; None where the metric is no latency.
    """

    metric: str
    limit: float
    device: str | None = None

    @property
    def cost(self) -> str:
        """What is limited, such as `latency_ms[pi0]`."""
        return f"{self.metric}[{self.device}]" if self.device else self.metric

    def __str__(self) -> str:
        return f"{self.cost}<={repr(float(self.limit)).removesuffix('.0')}"


class Costs(Mapping[str, NDArray[np.float64]]):
    """Cost of every layer of a space, by the cost's name, ready to be summed over architectures.

    Args:
        space: of the layers.
        tables: device name to its latency table; every layer of the space must be in it.

    Raises:
        MissingRowsError: a table lacks layers.
    """

    def __init__(self, space: SearchSpace[Any], tables: Mapping[str, LatencyTable]) -> None:
        self.space = space
        self.tables = dict(tables)
        layers = space.all_layers
        self._by_layer: dict[str, NDArray[np.float64]] = {
            name: np.array([getattr(layer, name) for layer in layers], np.float64)
            for name in COUNTS
        }
        self._fixed = dict.fromkeys(self._by_layer, 0.0)
        for device, table in self.tables.items():
            name = f"{LATENCY}[{device}]"
            self._by_layer[name] = table.costs_ms(space)
            self._fixed[name] = table.call_ms

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._by_layer[name]

    def __iter__(self) -> Any:
        return iter(self._by_layer)

    def __len__(self) -> int:
        return len(self._by_layer)

    def of(self, name: str, genes: Genes) -> NDArray[np.float64]:
        """One cost of each architecture, (architectures,)."""
        return self.space.sum_over_layers(genes, self._by_layer[name]) + self._fixed[name]

    def cheapest(self, name: str) -> tuple[Genes, float]:
        """The genes with the least of a cost, (1, genes), and that cost."""
        genes = self.space.encode([self.space.cheapest(self._by_layer[name])])
        return genes, float(self.of(name, genes)[0])

    def parse(self, text: str) -> Constraint:
        """Read a constraint such as `params<=70k`, `latency_ms[pi0]<=20` or `latency_ms<=50%`.

        A percentage is of the largest network's cost. The device may be left out where there is
        but one table.

        Raises:
            ConstraintSyntaxError: the text cannot be read, or names an unknown cost.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ConstraintSyntaxError(
                f"not a constraint: {text!r}", hint="write it like 'latency_ms[pi0]<=20'"
            )
        device = match["device"]
        if match["metric"] == LATENCY and device is None and len(self.tables) == 1:
            device = next(iter(self.tables))
        try:
            constraint = Constraint(match["metric"], float(match["limit"]), device)
        except ValueError as error:
            raise ConstraintSyntaxError(f"not a number in constraint {text!r}") from error
        if constraint.cost not in self._by_layer:
            raise ConstraintSyntaxError(
                f"unknown cost {constraint.cost!r} in constraint {text!r}",
                hint=f"known: {', '.join(self._by_layer)}; a latency needs its device's table",
            )
        if match["unit"] == "%":
            largest = self.space.encode([self.space.largest()])
            scale = float(self.of(constraint.cost, largest)[0]) / 100
        else:
            scale = _MULTIPLES[match["unit"]]
        limit = constraint.limit * scale
        if not math.isfinite(limit):
            raise ConstraintSyntaxError(f"the limit of constraint {text!r} is too large")
        return Constraint(constraint.metric, limit, device)

    def satisfied(self, constraints: Sequence[Constraint], genes: Genes) -> NDArray[np.bool_]:
        """Whether each architecture keeps within every limit, (architectures,)."""
        within = np.ones(len(genes), bool)
        for constraint in constraints:
            within &= self.of(constraint.cost, genes) <= constraint.limit
        return within

    def check_possible(self, constraints: Sequence[Constraint]) -> None:
        """Refuse a limit that no architecture of the space keeps.

        Raises:
            ConstraintError: naming the cheapest architecture that exists, and its cost.
        """
        for constraint in constraints:
            genes, least = self.cheapest(constraint.cost)
            if least > constraint.limit:
                raise ConstraintError(
                    f"no architecture satisfies {constraint}",
                    hint=f"the cheapest, {self.space.from_genes(genes[0])}, costs {least:.6g}",
                )
