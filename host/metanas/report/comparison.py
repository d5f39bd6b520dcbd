"""The found network beside the others: the rows that terminal and page both show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from metanas.deploy.verification import Verification
from metanas.report import wording
from metanas.report.run_files import RunFiles

ACCURACY_NOTE = (
    "Deployed is what counts: each image is classified by itself, as on a board. "
    "Transductive: batch-norm sees all query images at once, as in the papers."
)

_COUNTS = (
    ("params", "params", wording.count),
    ("MACs", "macs", wording.count),
    ("size", "size_bytes", wording.size),
    ("memory", "memory_bytes", wording.size),
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
    check = run.verification
    for figure, cost, text in _COUNTS:
        if all(cost in network.costs for network in networks):
            yield Row(figure, tuple(text(network.costs[cost]) for network in networks))
    latencies = [network.latencies_ms for network in networks]
    yield from _predicted("latency", latencies, wording.milliseconds)
    if check:
        yield _measured(run, check, "latency", wording.milliseconds(check.measured.median_ms))
    energies = [network.energies_mj for network in networks]
    yield from _predicted("energy", energies, wording.millijoules)
    if check and check.measured.energy_mj is not None:
        yield _measured(run, check, "energy", wording.millijoules(check.measured.energy_mj))
    yield Row("accuracy, deployed", tuple(wording.accuracy(n.deployed) for n in networks))
    yield Row("accuracy, transductive", tuple(wording.accuracy(n.transductive) for n in networks))


def _predicted(
    what: str, values: Sequence[Mapping[str, float]], text: Callable[[float], str]
) -> Iterator[Row]:
    """A row a device, whose table some of the networks may not have met."""
    for device in dict.fromkeys(device for of_network in values for device in of_network):
        known = (of_network.get(device) for of_network in values)
        cells = ("no table" if value is None else text(value) for value in known)
        yield Row(f"predicted {what}, {device}", tuple(cells))


def _measured(run: RunFiles, check: Verification, what: str, cell: str) -> Row:
    """Only one network was verified."""
    cells = (cell if name == check.network.name else "" for name in run.networks)
    return Row(f"measured {what}, {check.device}", tuple(cells))
