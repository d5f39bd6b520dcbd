"""Super-network training and adaptation to a task and a device: H-Meta-NAS."""

from metanas.search.constraints import LATENCY, Constraint, Costs
from metanas.search.genetic import (
    Candidate,
    GeneticSearch,
    SearchPlan,
    SearchResult,
    SearchSettings,
)
from metanas.search.shrinking import ProgressiveShrinking, ShrinkingSettings

__all__ = [
    "LATENCY",
    "Candidate",
    "Constraint",
    "Costs",
    "GeneticSearch",
    "ProgressiveShrinking",
    "SearchPlan",
    "SearchResult",
    "SearchSettings",
    "ShrinkingSettings",
]
