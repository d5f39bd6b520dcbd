"""What to meta-train, on what, and how."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Generic, Protocol, TypeVar

from metanas.data import EpisodeSampler
from metanas.errors import InvalidSettingsError
from metanas.meta.initialisation import initialise
from metanas.meta.inner_loop import QueryNorm
from metanas.meta.parameters import MetaParameters
from metanas.meta.schedule import OuterSettings
from metanas.meta.validation import Validation, ValidationSettings
from metanas.parallel import Group
from metanas.spaces import Architecture, SearchSpace

A_co = TypeVar("A_co", bound=Architecture, covariant=True)
A = TypeVar("A", bound=Architecture)


class Chooser(Protocol[A_co]):
    """Which architecture an outer step trains."""

    @property
    def settings(self) -> dict[str, Any]:
        """Flat values for provenance."""

    def __call__(self, step: int, epoch: int) -> A_co:
        """The architecture of an outer step; the same on every worker."""


@dataclass(frozen=True, slots=True)
class Fixed(Generic[A]):
    """Always the same architecture: plain MAML++."""

    architecture: A

    @property
    def settings(self) -> dict[str, Any]:
        """Its text."""
        return {"architecture": str(self.architecture)}

    def __call__(self, step: int, epoch: int) -> A:  # noqa: ARG002 - a Chooser's arguments
        """The architecture."""
        return self.architecture


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Generic[A]):
    """What to meta-train, on what, and how.

    Args:
        space: of the architectures.
        corners: architectures whose parameters together are to be learned.
        chooser: the architecture of each outer step.
        sampler: training tasks.
        outer: schedule.
        query_norm: batch-norm protocol of the query images.
        context: what else a checkpoint must have been made by to be gone on from, such as the
            data set.
        validation: at the end of every epoch; by default there is none.

    Raises:
        InvalidSettingsError: running statistics are asked of a super-network, or for the query
            images of a network that is to keep none.
    """

    space: SearchSpace[A]
    corners: tuple[A, ...]
    chooser: Chooser[A]
    sampler: EpisodeSampler
    outer: OuterSettings
    query_norm: QueryNorm
    context: dict[str, Any]
    validation: Validation[A] | None = None

    def __post_init__(self) -> None:
        if self.outer.running_statistics and not isinstance(self.chooser, Fixed):
            raise InvalidSettingsError(
                "a super-network keeps no running statistics: each of its networks has its own",
                hint="train it without running_statistics",
            )
        if self.query_norm == "running" and not self.outer.running_statistics:
            raise InvalidSettingsError(
                "query_norm is 'running', but training keeps no running statistics",
                hint="train one network with running_statistics, or choose another query_norm",
            )

    def settings(self, group: Group) -> dict[str, Any]:
        """Flat values that a checkpoint is compared by."""
        plan = self.context | self.space.settings | asdict(self.outer) | self.chooser.settings
        settings = self.validation.settings if self.validation else ValidationSettings()
        return plan | {
            "query_norm": self.query_norm,
            "validation_tasks": settings.tasks,
            "patience": settings.patience,
            "workers": group.size,
            "accelerator": group.device.type,
        }

    def initialise(self) -> MetaParameters:
        """Fresh parameters."""
        return initialise(
            [self.space.network(corner) for corner in self.corners],
            steps=self.outer.inner_steps,
            rate=self.outer.inner_rate,
            seed=self.outer.seed,
            learned_rates=self.outer.learned_rates,
            per_step_norms=self.outer.per_step_norms,
            adapted_norms=self.outer.adapted_norms,
            running_statistics=self.outer.running_statistics,
        )
