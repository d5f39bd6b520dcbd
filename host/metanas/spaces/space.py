"""SearchSpace: what can be searched, and what every search needs to know of it.

A space describes an architecture as *genes*: a fixed number of choices, gene g being an integer
in `range(cardinalities[g])`. Sampling, mutation and crossover are the same for every space; how
genes become layers and a network is the space's own business.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from metanas.errors import ArchitectureError
from metanas.spaces.architecture import Architecture
from metanas_agent.layers import LayerSpec

if TYPE_CHECKING:
    from metanas.spaces.network import Network

A = TypeVar("A", bound=Architecture)
Number = TypeVar("Number", np.int64, np.float64)

Genes = NDArray[np.int64]
"""(architectures, genes): one row an architecture. Genes that do not matter are 0."""

LayerIndices = NDArray[np.int64]
"""(architectures, slots): indices into `SearchSpace.all_layers`, -1 where a slot is empty."""


class SearchSpace(ABC, Generic[A]):
    """A finite set of architectures.

    Args:
        input_shape: (channels, height, width) of one image.
        ways: classes of a task.
    """

    name: str
    nested: ClassVar[bool] = True
    """Whether every network is a part of the largest one, as far as its classifier's depth goes."""

    def __init__(self, *, input_shape: tuple[int, int, int], ways: int) -> None:
        self.input_shape = input_shape
        self.ways = ways

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """What makes this space what it is, for provenance and for comparing.

        A space adds its own switches.
        """
        return {
            "space": self.name,
            "input": "x".join(map(str, self.input_shape)),
            "ways": self.ways,
        }

    @property
    @abstractmethod
    def cardinalities(self) -> tuple[int, ...]:
        """Number of alternatives of each gene."""

    @abstractmethod
    def active(self, genes: Genes) -> NDArray[np.bool_]:
        """Which genes matter, of the same shape as `genes`."""

    @abstractmethod
    def to_genes(self, architecture: A) -> Genes:
        """Genes of one architecture, shape (genes,)."""

    @abstractmethod
    def from_genes(self, genes: Genes) -> A:
        """The architecture of one row of genes."""

    @abstractmethod
    def parse(self, text: str) -> A:
        """Read an architecture of this space back from its text.

        Raises:
            ArchitectureError: the text is none, or the space does not hold it.
        """

    @abstractmethod
    def layers(self, architecture: A) -> tuple[LayerSpec, ...]:
        """Its layers, in order of execution."""

    def reads(self, architecture: A) -> tuple[tuple[int, ...], ...] | None:  # noqa: ARG002
        """Numbers of the maps that each layer reads: 0 is the image, n the output of layer n - 1.

        None where layers stand one behind the other, but for the shortcuts around blocks.
        """
        return None

    @cached_property
    @abstractmethod
    def all_layers(self) -> tuple[LayerSpec, ...]:
        """Every distinct layer of the space: the rows that a latency table must have."""

    @abstractmethod
    def layer_indices(self, genes: Genes) -> LayerIndices:
        """Layers of many architectures at once, as indices into `all_layers`."""

    @abstractmethod
    def network(self, architecture: A) -> Network:
        """The network to train and run. Parameters of one name share their leading part."""

    @abstractmethod
    def largest(self) -> A:
        """The architecture with the most of everything, which progressive shrinking starts from."""

    @abstractmethod
    def corners(self) -> tuple[A, ...]:
        """Architectures whose parameters together are the super-network's."""

    @abstractmethod
    def peak_bytes(self, genes: Genes) -> NDArray[np.int64]:
        """Most bytes of maps that live at one moment, one number an architecture.

        One image runs through layer after layer (see `LayerSpec.peak_values` for what lives
        within one); a map that a later layer reads lives until that layer has run.
        """

    @abstractmethod
    def cheapest_within(self, costs: NDArray[np.float64], peak_bytes: float) -> A | None:
        """The architecture with the least sum of a cost a layer, of those with no higher peak.

        Args:
            costs: aligned to `all_layers`.
            peak_bytes: limit of `peak_bytes`.

        Returns:
            None if every architecture has a higher peak.
        """

    def cheapest(self, costs: NDArray[np.float64]) -> A:
        """The architecture with the least sum of a cost a layer (aligned to `all_layers`)."""
        found = self.cheapest_within(costs, math.inf)
        assert found is not None
        return found

    def encode(self, architectures: Sequence[A]) -> Genes:
        """Genes of many architectures, shape (architectures, genes)."""
        if not architectures:
            return np.empty((0, len(self.cardinalities)), np.int64)
        return np.stack([self.to_genes(architecture) for architecture in architectures])

    def canonical(self, genes: Genes) -> Genes:
        """The same architectures with every gene that does not matter set to 0."""
        return np.where(self.active(genes), genes, 0)

    def sample(self, count: int, rng: np.random.Generator) -> Genes:
        """`count` architectures, every gene drawn uniformly."""
        shape = (count, len(self.cardinalities))
        return self.canonical(rng.integers(0, self.cardinalities, size=shape))

    def mutate(self, genes: Genes, rng: np.random.Generator, *, choices: int = 2) -> Genes:
        """Change `choices` genes that matter in each row to another alternative.

        H-Meta-NAS, appendix C: "randomly pick two options ... and change them to other choices
        that are different from the original".
        """
        cardinalities = np.array(self.cardinalities)
        mutable = self.active(genes) & (cardinalities > 1)
        order = np.where(mutable, rng.random(genes.shape), np.inf).argsort(axis=1)
        picked = np.zeros_like(mutable)
        np.put_along_axis(picked, order[:, :choices], values=True, axis=1)
        other = (genes + rng.integers(1, np.maximum(cardinalities, 2), genes.shape)) % cardinalities
        mutants = np.where(picked & mutable, other, genes)
        awoken = self.active(mutants) & ~self.active(genes)  # a layer more has no genes yet
        drawn = rng.integers(0, cardinalities, genes.shape)
        return self.canonical(np.where(awoken, drawn, mutants))

    def crossover(self, mothers: Genes, fathers: Genes, rng: np.random.Generator) -> Genes:
        """Take each gene from either parent, row by row (uniform crossover)."""
        return self.canonical(np.where(rng.random(mothers.shape) < 0.5, mothers, fathers))

    def macs(self, genes: Genes) -> NDArray[np.int64]:
        """Multiply-accumulates of one image, one number an architecture."""
        return self.sum_over_layers(genes, np.array([layer.macs for layer in self.all_layers]))

    def params(self, genes: Genes) -> NDArray[np.int64]:
        """Learned parameters, one number an architecture."""
        return self.sum_over_layers(genes, np.array([layer.params for layer in self.all_layers]))

    def size_bytes(self, genes: Genes) -> NDArray[np.int64]:
        """Bytes of the learned parameters, one number an architecture."""
        return self.sum_over_layers(
            genes, np.array([layer.size_bytes for layer in self.all_layers])
        )

    def memory_bytes(self, genes: Genes) -> NDArray[np.int64]:
        """Most bytes needed at one moment: all parameters and the maps that live then."""
        return self.size_bytes(genes) + self.peak_bytes(genes)

    def sum_over_layers(self, genes: Genes, values: NDArray[Number]) -> NDArray[Number]:
        """Sum a value a layer (aligned to `all_layers`) over each architecture's layers."""
        padded = np.append(values, 0)  # index -1, an empty slot, adds nothing
        total: NDArray[Number] = padded[self.layer_indices(genes)].sum(axis=1)
        return total

    def check(self, genes: Genes) -> None:
        """Refuse genes that are no architecture.

        Raises:
            ArchitectureError: the shape is wrong or a gene is out of range.
        """
        if genes.shape[-1] != len(self.cardinalities):
            raise ArchitectureError(
                f"{self.name}: {genes.shape[-1]} genes", hint=f"give {len(self.cardinalities)}"
            )
        if ((genes < 0) | (genes >= np.array(self.cardinalities))).any():
            raise ArchitectureError(f"{self.name}: a gene is out of range")
