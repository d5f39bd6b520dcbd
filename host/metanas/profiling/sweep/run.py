"""The run of a sweep: batch after batch, within its budget, with rests where the device is hot."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import NamedTuple

from metanas.profiling.sweep.asking import Asking
from metanas.profiling.sweep.plan import Plan
from metanas.profiling.timings import Cooling, Journal, candidates
from metanas_agent.measurement import Measurement


class SweepProgress(NamedTuple):
    """What a sweep has done so far.

    Args:
        done: timings of rows made, those of an earlier, killed sweep included.
        total: timings to make, as far as known.
        row: the timing just made, None at the start and while the sweep rests.
        note: why it rests; empty while it works.
    """

    done: int
    total: int
    row: Measurement | None
    note: str = ""


class SweepRun:
    """Times what the plan asks for.

    Args:
        plan: which rows.
        asking: whom, and how.
        journal: what was timed so far.
        end_s: when the budget ends, by `time.monotonic`; infinite for none.
        on_progress: called at the start, for every row, and while the sweep rests; what it raises
            ends the run.
    """

    def __init__(
        self,
        plan: Plan,
        asking: Asking,
        journal: Journal,
        *,
        end_s: float,
        on_progress: Callable[[SweepProgress], None],
    ) -> None:
        self._plan = plan
        self._asking = asking
        self._journal = journal
        self._end_s = end_s
        self._on_progress = on_progress
        self._cooling = Cooling()
        self._done = sum(timing.purpose == "row" for timing in journal.timings)
        self._total = self._done
        self._tried = False

    def time_all(self) -> bool:
        """Whether all was done before the budget ended.

        Raises:
            DeviceError: the device went away, or answered something else than was asked.
            MeasurementFailedError: the sentinel could not be timed.
        """
        keys = self._next_keys()
        self._tell()
        while keys and not self._is_over():
            if self._is_throttled(keys):
                self._cooling.rest(
                    most_s=self._end_s - time.monotonic(), tell=lambda note: self._tell(note=note)
                )
            keys = self._next_keys()
        return not keys

    def _next_keys(self) -> list[str]:
        found = candidates(self._journal.timings)
        failures = {key: len(reasons) for key, reasons in self._asking.failures.items()}
        self._total = self._done + self._plan.left(found, failures)
        return self._plan.next_keys(found, failures)

    def _is_throttled(self, keys: Sequence[str]) -> bool:
        """Time a batch, or less where a rest is due or the budget is spent."""
        with closing(self._asking.time(keys)) as timings:
            for timing in timings:
                if timing.purpose == "row":
                    self._done += 1
                    self._tried = True
                    self._tell(timing.row)
                if self._is_over():
                    return False
                if self._cooling.is_due(timing.row):
                    return True
        self._tried = True
        return False

    def _is_over(self) -> bool:
        """Not before something was tried: each run shall come further than the one before."""
        return self._tried and time.monotonic() >= self._end_s

    def _tell(self, row: Measurement | None = None, note: str = "") -> None:
        self._on_progress(SweepProgress(self._done, max(self._total, self._done), row, note))
