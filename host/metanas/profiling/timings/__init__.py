"""Timings of a device: kept as soon as they are known, and which of them to believe."""

from metanas.profiling.timings.cooling import Cooling
from metanas.profiling.timings.drift import (
    Candidate,
    best,
    candidates,
    choose_sentinel,
    doubtful,
    judged,
    summarise,
)
from metanas.profiling.timings.journal import (
    Journal,
    Purpose,
    Timing,
    journal_path,
)
from metanas.profiling.timings.lock import exclusive
from metanas.profiling.timings.making import (
    Making,
    check_named_runtime,
    check_same_making,
    making_of,
    making_of_table,
    plain_settings,
)

__all__ = [
    "Candidate",
    "Cooling",
    "Journal",
    "Making",
    "Purpose",
    "Timing",
    "best",
    "candidates",
    "check_named_runtime",
    "check_same_making",
    "choose_sentinel",
    "doubtful",
    "exclusive",
    "journal_path",
    "judged",
    "making_of",
    "making_of_table",
    "plain_settings",
    "summarise",
]
