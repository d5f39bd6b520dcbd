"""Kill agent, worker, host or link at any instant of a sweep: it costs no row and doubles none.

What is killed is killed with SIGKILL, which leaves no time to tidy up, or cut without a farewell.
"""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from metanas.files import read_json_lines
from metanas.profiling import CALL, read_table
from support.agent_process import AgentProcess, children
from support.faulty_link import FaultyLink
from support.sweeping_host import STOPPED, Layers

ROWS = 60
VICTIMS = ("agent", "worker", "host", "link")
LONGEST_SWEEP_S = 300


@pytest.mark.parametrize(
    "kills", [6, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_no_kill_costs_or_doubles_a_row(tmp_path, kills):
    chance = random.Random(kills)
    done = dict.fromkeys(VICTIMS, 0)
    sweeps = 0
    with Bench(tmp_path) as bench:
        while sum(done.values()) < kills:
            sweeps += 1
            bench.begin_sweep(tmp_path / f"sweep{sweeps}.tsv")
            for _ in bench.instants(chance):
                if sum(done.values()) < kills:
                    victim = chance.choice(VICTIMS)
                    done[victim] += bench.kill(victim)
            bench.check_sweep()
    assert sum(done.values()) == kills
    assert kills < 20 or all(done.values())


class Bench:
    """An agent that is started again whenever it dies, a link to it, and a host that sweeps."""

    def __init__(self, folder):
        self.state = folder / "state"
        self.errors = folder / "errors"

    def __enter__(self):
        self.agent = self._start_agent(0)
        self.link = FaultyLink(self.agent.port)
        self.host = None
        return self

    def __exit__(self, *_):
        if self.host:
            self.host.kill()
            self.host.wait()
        self.link.__exit__()
        self.agent.__exit__()

    def begin_sweep(self, table):
        self.table = table
        self.journal = table.with_name(f"{table.name}.journal.jsonl")
        self.seen = []
        self._start_host()

    def instants(self, chance):
        """Moments at which to kill, as long as the sweep goes on."""
        begun = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                if self.host.wait(chance.uniform(0, 1.5)) == 0:
                    return
                assert self.host.returncode == STOPPED, self.errors.read_text()
                self._start_host()
                continue
            yield
            self._check_journal()
            assert time.monotonic() - begun < LONGEST_SWEEP_S

    def kill(self, victim):
        """Whether there was one."""
        if victim == "link":
            self.link.cut()
        elif victim == "worker":
            workers = children(self.agent.pid)
            for worker in workers:
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)
            return bool(workers)
        elif victim == "agent":
            self.agent.kill()
            self.agent.__exit__()
            self.agent = self._start_agent(self.link.target)
        else:
            self.host.kill()
            self.host.wait()
            self._start_host()
        return True

    def check_sweep(self):
        """The table has each row once, and the journal that it was made of too."""
        self.journal = self.journal.with_suffix(".kept")
        self._check_journal()
        asked = sorted(layer.key for layer in (CALL, *Layers(ROWS).all_layers))
        timed = [line["row"]["key"] for line in self.seen if "row" in line]
        assert sorted(timed) == asked
        rows = read_table(self.table).rows
        assert sorted(rows) == asked
        written = [line.split("\t")[0] for line in self.table.read_text().splitlines()]
        assert all(written.count(key) == 1 for key in asked)

    def _check_journal(self):
        """Whatever was in it before is still in it, as it was."""
        now = read_json_lines(self.journal)
        if not now and self.journal.with_suffix(".kept").exists():
            return  # the sweep is over; it is looked at then
        assert now[: len(self.seen)] == self.seen
        self.seen = now

    def _start_agent(self, port):
        return AgentProcess("--runtime", "onnx", "--lease-s", "5", state=self.state, port=port)

    def _start_host(self):
        with self.errors.open("ab") as errors:
            self.host = subprocess.Popen(
                [
                    *(sys.executable, "-m", "support.sweeping_host"),
                    *(str(self.link.port), str(self.table), str(ROWS)),
                ],
                cwd=Path(__file__).parent,
                stderr=errors,
            )
