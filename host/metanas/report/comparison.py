"""The found network beside the others: the rows that terminal and page both show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from metanas.report import wording
from metanas.report.run_files import RunFiles

ACCURACY_NOTE = (
    "Deployed is what counts: each image is classified by itself, as on a board. "
    "Transductive: batch-norm sees all query images at once, as in the papers."
)


class Row(NamedTuple):
    """A figure, and its text for each of the run's networks."""

    figure: str
    cells: tuple[str, ...]


def comparison(run: RunFiles) -> list[Row]:
    """The rows below the networks' names and architectures; empty before any evaluation."""
    return list(_rows(run)) if run.networks else []


def _rows(run: RunFiles) -> Iterator[Row]:
    networks = run.networks.values()
    for figure, cost, text in (
        ("params", "params", wording.count),
        ("MACs", "macs", wording.count),
        ("size", "size_bytes", wording.size),
    ):
        yield Row(figure, tuple(text(network.costs[cost]) for network in networks))
    devices = dict.fromkeys(device for network in networks for device in network.latencies_ms)
    for device in devices:
        latencies_ms = [network.latencies_ms.get(device) for network in networks]
        cells = (wording.milliseconds(ms) if ms is not None else "no table" for ms in latencies_ms)
        yield Row(f"predicted latency, {device}", tuple(cells))
    if check := run.verification:
        measured = wording.milliseconds(check.measured.median_ms)
        cells = (measured if name == check.network.name else "" for name in run.networks)
        yield Row(f"measured latency, {check.device}", tuple(cells))
    yield Row("accuracy, deployed", tuple(wording.accuracy(n.deployed) for n in networks))
    yield Row("accuracy, transductive", tuple(wording.accuracy(n.transductive) for n in networks))
