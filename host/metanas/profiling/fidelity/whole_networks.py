"""Whole networks of a space, timed on a device: what a table's sums are judged by.

hold the journal, which has the timings so far (a killed run goes on from here)
for each round, then while doubtful networks may be timed again, as in a sweep:
    time: sentinel, a window of networks in random order, sentinel
keep the middle timing of each network
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from metanas.devices.device import Device
from metanas.profiling.fidelity.network_run import NetworkRun
from metanas.profiling.fidelity.network_timings import NetworkTiming, NetworkTimings
from metanas.profiling.timings import Journal, choose_sentinel, exclusive, making_of
from metanas.spaces import Genes, SearchSpace
from metanas_agent.layers import LayerSpec
from metanas_agent.measurement import Measurement
from metanas_agent.timer import TimerSettings


def measure_networks(
    device: Device,
    space: SearchSpace[Any],
    genes: Genes,
    settings: TimerSettings,
    journal_path: Path,
    *,
    rounds: int = 2,
    seed: int = 0,
    sentinel: LayerSpec | None = None,
    fresh: bool = False,
    locked: bool = False,
    check: Callable[[Measurement], None] = lambda _: None,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[NetworkTiming, ...]:
    """Time whole networks with random weights, each in rounds far apart in a random order.

    A timing made while a sentinel layer was off its median, a noisy or a throttled one, and those
    of one network that differ, are made again a few times, as many as in a sweep; of the most
    trusted the middle one is kept, at equal pace of the device. A throttled device is left to cool
    before. A network that fails is tried once more behind the rest: its process may have been
    killed.

    The journal stays: run again with it, networks that it holds are not timed again, unless they
    were throttled. So a killed run goes on, and a set of networks can be extended. One in which no
    network was timed is removed.

    Args:
        device: that can run models.
        space: that holds the architectures.
        genes: (architectures, genes); equal rows are timed once.
        settings: of the timer.
        journal_path: where each timing is written as soon as it is known.
        rounds: how often each network is timed.
        seed: of the weights, the image and the order.
        sentinel: the layer that tells the device's pace; one of the space if not given.
        fresh: start over, whatever the journal holds; a killed fresh run goes on.
        locked: whether the caller holds the journal.
        check: called with every timing of a network before it is kept; what it raises ends the
            run.
        on_progress: called with the timings done and to do, at the start and for every timing.

    Returns:
        One timing a row of genes, in their order.

    Raises:
        TableBusyError: another run is at work on the journal.
        TableMismatchError: the journal is of networks timed in another way; it stays as it was.
        TableError: the journal is broken.
        UnsupportedError: the device cannot run models.
        MeasurementFailedError: a network could not be timed, nor at the second try.
        DeviceError: the device went away, or its runtime had been killed when it was described.
    """
    architectures = [space.from_genes(row) for row in genes]
    sentinel = sentinel or choose_sentinel(space.all_layers)
    description = device.describe()
    making = making_of(description, space.settings, settings)
    making |= {"weights": seed, "sentinel": sentinel.key}
    with nullcontext() if locked else exclusive(journal_path):
        journal = Journal(journal_path, making, fresh=fresh)
        by_text = {str(architecture): architecture for architecture in architectures}
        timings = NetworkTimings(journal, by_text.keys(), rounds)
        run = NetworkRun(
            device,
            space,
            by_text,
            settings,
            description=description,
            timings=timings,
            sentinel=sentinel,
            rounds=rounds,
            seed=seed,
            check=check,
            on_progress=on_progress,
        )
        try:
            run.time_all()
        finally:
            if {timing.purpose for timing in journal.timings} == {"sentinel"}:
                journal.remove()
        typical = timings.typical()
    return tuple(typical[str(architecture)] for architecture in architectures)
