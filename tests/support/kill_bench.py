"""A bench on which agent, worker, host or link are killed while a host works on a table.

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

from metanas.files import read_json_lines
from support.agent_process import AgentProcess, children
from support.faulty_link import FaultyLink
from support.lost_host import STOPPED

VICTIMS = ("agent", "worker", "host", "link")

_LONGEST_WORK_S = 300


class KillBench:
    """An agent that is started again whenever it dies, a link to it, and such a host.

    Args:
        folder: for the agent's state and what hosts say; the tables may lie in it too.
        host: a module of `support`, run with the link's port and what `work` is given. Its last
            act but to end is to leave the journal with the suffix `.kept` in place of its own.
        longest_wait_s: between two kills.
    """

    def __init__(self, folder, host, *, longest_wait_s):
        self.folder = folder
        self.host_module = host
        self.longest_wait_s = longest_wait_s
        self.killed = dict.fromkeys(VICTIMS, 0)
        self.host = None

    def __enter__(self):
        self.agent = self._start_agent(0)
        self.link = FaultyLink(self.agent.port)
        return self

    def __exit__(self, *_):
        if self.host:
            self.host.kill()
            self.host.wait()
        self.link.__exit__()
        self.agent.__exit__()

    def kill_until(self, kills, begin, check):
        """Kill so many at random instants of piece after piece of work.

        Args:
            kills: how many, of all kinds together.
            begin: called with the number of a piece of work; begins it by `work`.
            check: called with all that its journal has had when it is done.
        """
        chance = random.Random(kills)
        pieces = 0
        while sum(self.killed.values()) < kills:
            begin(pieces)
            for _ in self._instants(chance):
                if sum(self.killed.values()) < kills:
                    victim = chance.choice(VICTIMS)
                    self.killed[victim] += self._kill(victim)
            self._check_journal(self.journal.with_suffix(".kept"))
            check(self._seen)
            pieces += 1

    def work(self, journal, *arguments):
        """Start a host on something whose journal is this."""
        self.journal = journal
        self.arguments = arguments
        self._seen = []
        self._start_host()

    def _instants(self, chance):
        """Moments at which to kill, as long as the work goes on."""
        begun = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                if self.host.wait(chance.uniform(0, self.longest_wait_s)) == 0:
                    return
                assert self.host.returncode == STOPPED, self.errors.read_text()
                self._start_host()
                continue
            yield
            self._check_journal(self.journal)
            assert time.monotonic() - begun < _LONGEST_WORK_S

    def _kill(self, victim):
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

    def _check_journal(self, path):
        """Whatever was in it before is still in it, as it was."""
        now = read_json_lines(path)
        if not now and self.journal.with_suffix(".kept").exists():
            return  # the work is done; it is looked at then
        assert now[: len(self._seen)] == self._seen
        self._seen = now

    @property
    def errors(self):
        return self.folder / "errors"

    def _start_agent(self, port):
        state = self.folder / "state"
        return AgentProcess("--runtime", "onnx", "--lease-s", "5", state=state, port=port)

    def _start_host(self):
        with self.errors.open("ab") as errors:
            self.host = subprocess.Popen(
                [
                    *(sys.executable, "-m", f"support.{self.host_module}"),
                    *(str(self.link.port), *map(str, self.arguments)),
                ],
                cwd=Path(__file__).parents[1],
                stderr=errors,
            )
