"""What a search gives: architectures with their losses, accuracies and costs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """An architecture that was evaluated.

    Args:
        architecture: its text.
        loss: mean query loss over the validation tasks of the final comparison.
        accuracy: mean share of query images classified rightly, over the same tasks.
        costs: every cost by name.
    """

    architecture: str
    loss: float
    accuracy: float
    costs: dict[str, float]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found, compared on tasks that no round had used.

    Args:
        winner: the finalist with the least loss.
        finalists: all of them, best first.
        front: those that no other one beats in both accuracy and all of `front_costs`, cheapest
            first.
        front_costs: what the front sets accuracy against.
        evaluated: distinct architectures that were evaluated in the rounds.
        evaluations: adaptations to a task that the rounds took.
    """

    winner: Candidate
    finalists: tuple[Candidate, ...]
    front: tuple[Candidate, ...]
    front_costs: tuple[str, ...]
    evaluated: int
    evaluations: int
