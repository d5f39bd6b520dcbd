"""Plan: which rows a sweep times next. All of it follows from what was timed so far.

rounds: each row once, then each once more, far apart; what failed is tried again behind the rest
then, a few times: rows that were throttled, and a share of those that are doubtful
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metanas.profiling.timings import Candidate, best, doubtful

TRIES = 2
"""A layer that fails so often is given up; once may be an accident of the process that timed it."""

AGAIN_SHARE = 0.2
"""At most this share of the rows is timed again behind the rounds, throttled ones not counted."""


class Plan:
    """The rows of a sweep.

    Args:
        rounds: keys in the order in which each round times them.
    """

    def __init__(self, rounds: Sequence[Sequence[str]]) -> None:
        self._rounds = rounds
        self._rows = len(rounds[0])

    def next_keys(
        self, found: Mapping[str, Sequence[Candidate]], failures: Mapping[str, int]
    ) -> list[str]:
        """Keys to time next, in that order, until one of them fails; none when all is done.

        Args:
            found: the timings of each row so far.
            failures: how often a row failed since it was timed last.
        """
        possible = {key for key in self._rounds[0] if failures.get(key, 0) < TRIES}
        for number, keys in enumerate(self._rounds):
            lacking = [key for key in keys if key in possible and _count(found, key) <= number]
            if lacking:
                return sorted(lacking, key=lambda key: failures.get(key, 0))
        return [key for key in self._again(found) if key in possible]

    def left(self, found: Mapping[str, Sequence[Candidate]], failures: Mapping[str, int]) -> int:
        """How many timings are to be made, as far as known."""
        possible = [key for key in self._rounds[0] if failures.get(key, 0) < TRIES]
        in_rounds = sum(max(len(self._rounds) - _count(found, key), 0) for key in possible)
        return in_rounds or len(self.next_keys(found, failures))

    def _again(self, found: Mapping[str, Sequence[Candidate]]) -> list[str]:
        worst_first = doubtful(found, rounds=len(self._rounds))
        throttled = [key for key in worst_first if best(found[key]).verdict == "throttled"]
        if throttled:
            return throttled
        spent = sum(
            max(sum(choice.row.verdict != "throttled" for choice in choices) - len(self._rounds), 0)
            for choices in found.values()
        )
        return worst_first[: max(int(AGAIN_SHARE * self._rows) - spent, 0)]


def _count(found: Mapping[str, Sequence[Candidate]], key: str) -> int:
    return len(found.get(key, ()))
