"""A host that profiles a board over and over lost connections: python -m support.sweeping_host.

Exit code 0: the table is written. 3: it stopped with an error of ours, to be started again.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from metanas.profiling import profile
from metanas.profiling.sweep import asking, plan
from metanas.profiling.timings import journal
from metanas_agent.layers import EmptyLayer
from metanas_agent.timer import TimerSettings
from support.lost_host import run_host

SETTINGS = TimerSettings(budget_ms=10.0, min_samples=6, interval=0.5, sample_ms=0.05)


class Layers:
    """A search space, as far as a sweep looks at it."""

    def __init__(self, count):
        self.settings = {"name": "layers", "count": count}
        self.all_layers = tuple(EmptyLayer(1, 1, width) for width in range(2, count + 2))


def keep(self):
    """In the place of `Journal.remove`."""
    with suppress(FileNotFoundError):
        self.path.rename(self.path.with_suffix(".kept"))


def main(port, table, count):
    plan.AGAIN_SHARE = 0  # each row once, so that a doubled one is one too many
    plan.TRIES = asking.TRIES = 100  # what is killed here is no fault of the layer
    journal.Journal.remove = keep
    run_host(port, lambda device: profile(device, Layers(count), SETTINGS, table, rounds=1))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
