"""Super-network training and adaptation to a task and a device: H-Meta-NAS."""

from metanas.search.candidate import Candidate, SearchResult
from metanas.search.constraints import LATENCY, Constraint, Costs
from metanas.search.genetic import GeneticSearch
from metanas.search.journal import SearchRound
from metanas.search.settings import SearchPlan, SearchSettings
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
    "SearchRound",
    "SearchSettings",
    "ShrinkingSettings",
]
