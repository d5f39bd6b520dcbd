"""Constraints: upper limits on what an architecture costs, on any number of devices."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ConstraintError, ConstraintSyntaxError
from metanas.profiling import CALL, LatencyTable
from metanas.spaces import Genes, SearchSpace

COUNTS = ("params", "size_bytes", "macs")
MEMORY = "memory_bytes"
LATENCY = "latency_ms"
ENERGY = "energy_mj"

_TEXT = re.compile(
    r"\s*(?P<metric>[a-z_]+)\s*(?:\[\s*(?P<device>[^\]\s]+)\s*\])?\s*<=?\s*"
    r"(?P<limit>[0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(?P<unit>%|[kKM]?)\s*"
)
_MULTIPLES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}


@dataclass(frozen=True, slots=True)
class Constraint:
    """An upper limit; prints as `latency_ms[pi0]<=20`, and `Costs.parse` reads it back exactly.

    Args:
        metric: `latency_ms`, `energy_mj`, `memory_bytes`, `params`, `size_bytes` or `macs`.
        limit: in the metric's unit.
        device: whose latency or energy; None where the metric is the same on every device.
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


class Cost(Protocol):
    """One cost of the architectures of a space."""

    def of(self, genes: Genes) -> NDArray[np.float64]:
        """Of each architecture, (architectures,)."""

    def cheapest(self) -> Genes:
        """The genes with the least of it, (1, genes)."""


@dataclass(frozen=True, eq=False, slots=True)
class LayerSum:
    """A cost that every layer adds something to.

    Args:
        space: of the layers.
        by_layer: aligned to `space.all_layers`.
        fixed: what each architecture costs beside its layers.
    """

    space: SearchSpace[Any]
    by_layer: NDArray[np.float64]
    fixed: float = 0.0

    def of(self, genes: Genes) -> NDArray[np.float64]:
        """Of each architecture, (architectures,); never negative, as no table's prediction is."""
        return np.maximum(self.space.sum_over_layers(genes, self.by_layer) + self.fixed, 0.0)

    def cheapest(self) -> Genes:
        """The genes with the least of it, (1, genes)."""
        return self.space.encode([self.space.cheapest(self.by_layer)])


@dataclass(frozen=True, eq=False, slots=True)
class Memory:
    """Bytes of all parameters and of the maps that live at the worst moment."""

    space: SearchSpace[Any]

    def of(self, genes: Genes) -> NDArray[np.float64]:
        """Of each architecture, (architectures,)."""
        return self.space.memory_bytes(genes).astype(np.float64)

    def cheapest(self) -> Genes:
        """The genes with the least of it, (1, genes).

        Along the Pareto front of parameters against maps, from the fewest parameters on: as soon
        as the parameters alone take what an architecture before took in all, none is better.
        """
        sizes = np.array([layer.size_bytes for layer in self.space.all_layers], np.float64)
        best, least, peak = np.empty((0, 0), np.int64), math.inf, math.inf
        while (found := self.space.cheapest_within(sizes, peak - 1)) is not None:
            genes = self.space.encode([found])
            if self.space.size_bytes(genes)[0] >= least:
                break
            peak, memory = self.space.peak_bytes(genes)[0], self.of(genes)[0]
            if memory < least:
                best, least = genes, memory
        return best


class Costs(Mapping[str, Cost]):
    """What architectures of a space cost, by the cost's name.

    `energy_mj` of a device is known where every row of its table says what it took. A table that
    lacks layers of the space has no costs, and asking for one by name is an error.

    Args:
        space: of the architectures.
        tables: device name to its latency table.
    """

    def __init__(self, space: SearchSpace[Any], tables: Mapping[str, LatencyTable]) -> None:
        self.space = space
        self.tables = dict(tables)
        layers = space.all_layers
        self._costs: dict[str, Cost] = {
            name: LayerSum(space, np.array([getattr(layer, name) for layer in layers], np.float64))
            for name in COUNTS
        }
        self._costs[MEMORY] = Memory(space)
        for device, table in self.tables.items():
            if table.missing(layers):
                continue
            latency = LayerSum(space, table.costs_ms(space), table.call_ms)
            self._costs[f"{LATENCY}[{device}]"] = latency
            if energy := _energy(space, table):
                self._costs[f"{ENERGY}[{device}]"] = energy

    def __getitem__(self, name: str) -> Cost:
        return self._costs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._costs)

    def __len__(self) -> int:
        return len(self._costs)

    def of(self, name: str, genes: Genes) -> NDArray[np.float64]:
        """One cost of each architecture, (architectures,)."""
        return self._costs[name].of(genes)

    def cheapest(self, name: str) -> tuple[Genes, float]:
        """The genes with the least of a cost, (1, genes), and that cost."""
        genes = self._costs[name].cheapest()
        return genes, float(self.of(name, genes)[0])

    def full_name(self, name: str) -> str:
        """The name of a cost, with its device: that may be left out where there is but one table.

        Raises:
            ConstraintSyntaxError: there is no such cost.
            MissingRowsError: its table lacks layers.
        """
        device = self._only_device(name)
        full = f"{name}[{device}]" if device else name
        self._check_known(full)
        return full

    def parse(self, text: str) -> Constraint:
        """Read a constraint such as `params<=70k`, `latency_ms[pi0]<=20` or `latency_ms<=50%`.

        A percentage is of the largest network's cost. The device may be left out where there is
        but one table. `k` and `M` are thousands and millions, of bytes too.

        Raises:
            ConstraintSyntaxError: the text cannot be read, or names an unknown cost.
            MissingRowsError: the table of the cost that it names lacks layers.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ConstraintSyntaxError(
                f"not a constraint: {text!r}", hint="write it like 'latency_ms[pi0]<=20'"
            )
        device = match["device"] or self._only_device(match["metric"])
        try:
            constraint = Constraint(match["metric"], float(match["limit"]), device)
        except ValueError as error:
            raise ConstraintSyntaxError(f"not a number in constraint {text!r}") from error
        self._check_known(constraint.cost, f" in constraint {text!r}")
        if match["unit"] == "%":
            largest = self.space.encode([self.space.largest()])
            scale = float(self.of(constraint.cost, largest)[0]) / 100
        else:
            scale = _MULTIPLES[match["unit"]]
        limit = constraint.limit * scale
        if not math.isfinite(limit):
            raise ConstraintSyntaxError(f"the limit of constraint {text!r} is too large")
        return Constraint(constraint.metric, limit, device)

    def _only_device(self, metric: str) -> str | None:
        of_device = metric in (LATENCY, ENERGY) and len(self.tables) == 1
        return next(iter(self.tables)) if of_device else None

    def _check_known(self, cost: str, where: str = "") -> None:
        if cost in self._costs:
            return
        for device, table in self.tables.items():
            if cost in (f"{LATENCY}[{device}]", f"{ENERGY}[{device}]"):
                table.costs_ms(self.space)  # says which rows it lacks
        hint = (
            f"known: {', '.join(self._costs)}; a latency needs its device's table, "
            "an energy one of a device that tells it"
        )
        if cost in (LATENCY, ENERGY) and self.tables:
            hint = "write " + " or ".join(f"{cost}[{device}]" for device in self.tables)
        raise ConstraintSyntaxError(f"unknown cost {cost!r}{where}", hint=hint)

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


def _energy(space: SearchSpace[Any], table: LatencyTable) -> LayerSum | None:
    """As latencies are summed: each row without the call, and one call a network."""
    rows = [table.row(layer) for layer in (CALL, *space.all_layers)]
    energies = [row.energy_mj for row in rows if row.energy_mj is not None]
    if len(energies) < len(rows):
        return None
    call_mj, *layers_mj = energies
    return LayerSum(space, np.maximum(np.array(layers_mj) - call_mj, 0.0), call_mj)
