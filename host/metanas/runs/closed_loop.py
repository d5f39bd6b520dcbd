"""Closed loop: what a search found is measured before it is answered, and mends its tables.

search; time the winner on every device whose latency is limited
where a latency is off: calibrate that device's table, and search again, which re-ranks the journal
if it is still off after the last time: of all that were timed, the best that keeps the limits
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from metanas.deploy import Verification
from metanas.errors import ConstraintError
from metanas.files import append_json_line, write_json
from metanas.profiling import read_table
from metanas.provenance import provenance
from metanas.runs.folder import RunFolder
from metanas.search import LATENCY, Candidate, Constraint, SearchResult

MOST_CALIBRATIONS = 3

Search = Callable[[], SearchResult]
"""Searches with the tables as they are; its result is in the folder."""

Measure = Callable[[str, str], Verification]
"""Times an architecture on the device of that name."""

Calibrate = Callable[[str, int], None]
"""Mends the table of the device of that name, for the so manieth time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one winner took on one device, a line of `closed_loop.jsonl`.

    Args:
        round: 0 for the first search's winner, and one more for each search behind it.
        device: where it was timed.
        architecture: of the winner.
        predicted_ms: what the table promised.
        measured_ms: what it took.
        slowdown: how much slower the device was than when its table was made, None if unknown.
        limit_ms: the constraint.
        verdict: of the latency.
        done: what followed.
    """

    round: int
    device: str
    architecture: str
    predicted_ms: float
    measured_ms: float
    slowdown: float | None
    limit_ms: float
    verdict: str
    done: Literal["kept", "calibrated", "gave up"]

    @property
    def keeps_limit(self) -> bool:
        """Whether it is as fast as asked, at the pace that the table was made at."""
        return self.measured_ms / (self.slowdown or 1) <= self.limit_ms


def closed_loop(
    folder: RunFolder,
    search: Search,
    measure: Measure,
    calibrate: Calibrate,
    *,
    most_calibrations: int = MOST_CALIBRATIONS,
    observer: Callable[[Step], None] = lambda _: None,
) -> Candidate:
    """Search until the winner is as fast as promised; writes `closed_loop.jsonl`.

    Args:
        folder: of the run; its `search.json` names the winner in the end.
        search: called first, and again after each calibration.
        measure: called with a device's name and the winner's text.
        calibrate: called where the latency was off.
        most_calibrations: of each table.
        observer: called with each step.

    Returns:
        The winner: as fast as predicted, or else, of those that were timed and keep the limits as
        measured, the one with the least loss.

    Raises:
        ConstraintError: no latency of a real device is limited, or no winner that was timed keeps
            the limits.
        DeviceError: a device went away or cannot run models.
        CalibrationError: too few networks could be timed.
    """
    timed: list[tuple[Candidate, list[Step]]] = []
    for number in range(most_calibrations + 1):
        winner = search().winner
        found = folder.read_json(folder.search, made_by="metanas adapt")["constraints"]
        limits = measurable_limits([Constraint(**values) for values in found], folder.tables)
        checks = {device: measure(device, winner.architecture) for device in limits}
        off = [device for device, check in checks.items() if check.latency_verdict == "off"]
        last = number == most_calibrations
        steps = _steps(number, limits, checks, "gave up" if last else "calibrated")
        timed.append((winner, steps))
        made = {"provenance": provenance(seed=folder.settings.seed)}
        for step in steps:
            append_json_line(folder.closed_loop, asdict(step) | made)
            observer(step)
        if not off:
            return winner
        for device in off if not last else ():
            calibrate(device, number)
    return _choose(folder, timed)


def measurable_limits(
    constraints: Iterable[Constraint], tables: Mapping[str, Path]
) -> dict[str, float]:
    """Latency limits in ms by device, of devices that are no simulators.

    Args:
        constraints: of the search.
        tables: device name to its latency table.

    Raises:
        ConstraintError: there are none.
    """
    limits: dict[str, float] = {}
    for constraint in constraints:
        device = constraint.device
        if constraint.metric != LATENCY or device is None:
            continue
        if read_table(tables[device]).shared("source") != "simulated":
            limits[device] = min(constraint.limit, limits.get(device, np.inf))
    if not limits:
        raise ConstraintError(
            "no latency of a device that can be measured is limited",
            hint="limit one, such as 'latency_ms[pi0]<=20', or leave --closed-loop out",
        )
    return limits


def _steps(
    number: int,
    limits: Mapping[str, float],
    checks: Mapping[str, Verification],
    done_if_off: Literal["calibrated", "gave up"],
) -> list[Step]:
    return [
        Step(
            round=number,
            device=device,
            architecture=check.network.architecture,
            predicted_ms=check.predicted.latency_ms if check.predicted else np.nan,
            measured_ms=check.measured.median_ms,
            slowdown=check.slowdown,
            limit_ms=limits[device],
            verdict=check.latency_verdict,
            done=done_if_off if check.latency_verdict == "off" else "kept",
        )
        for device, check in checks.items()
    ]


def _choose(folder: RunFolder, timed: Iterable[tuple[Candidate, Sequence[Step]]]) -> Candidate:
    """The best that keeps the limits as measured; it becomes the winner in `search.json`."""
    timed = list(timed)
    keeping = [winner for winner, steps in timed if all(step.keeps_limit for step in steps)]
    if not keeping:
        step = min((step for _, steps in timed for step in steps), key=lambda s: s.measured_ms)
        raise ConstraintError(
            f"none of {len(timed)} winners that were timed keeps the limits: the fastest took "
            f"{step.measured_ms:.4g} ms on {step.device}, allowed are {step.limit_ms:.4g}",
            hint="profile the device again, when nothing else runs there",
        )
    winner = min(keeping, key=lambda candidate: candidate.loss)
    found = folder.read_json(folder.search, made_by="metanas adapt")
    write_json(folder.search, found | {"winner": asdict(winner)})
    return winner
