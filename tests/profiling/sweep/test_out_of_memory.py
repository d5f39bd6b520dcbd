"""The kernel kills the worker or the agent for want of memory; the sweep goes on."""

import os
import signal
import uuid
from contextlib import closing, suppress

import pytest

from metanas.devices import open_device
from metanas.profiling import profile
from metanas_agent.layers import EmptyLayer
from metanas_agent.timer import TimerSettings
from support.agent_process import children
from support.memory_group import memory_group
from support.sweeping_host import Layers

SETTINGS = TimerSettings(budget_ms=10.0, min_samples=6, interval=0.5, sample_ms=0.05)
ENOUGH_BYTES = 300 * 1024**2
LARGE = EmptyLayer(64, 2048, 1024)  # 512 MB in and 512 MB out
ROWS = 6
MANY_ROWS = 60  # the agent is not through before it is killed


@pytest.fixture
def group():
    with memory_group(f"metanas-{uuid.uuid4().hex[:8]}") as made:
        yield made


@pytest.fixture
def device():
    with closing(open_device("local")) as opened:
        yield opened


def agent():
    (pid,) = children(os.getpid())
    return pid


def test_a_layer_too_large_for_the_memory_is_left_out(group, device, tmp_path):
    space = Layers(ROWS)
    space.all_layers = (LARGE, *space.all_layers)
    group.add(agent())
    group.limit(ENOUGH_BYTES)
    before = agent()
    table = profile(device, space, SETTINGS, tmp_path / "table.tsv", rounds=1)
    assert agent() == before
    assert group.kills > 0
    (reason,) = table.header.left_out.values()
    assert reason.startswith("worker died: SIGKILL (most likely out of memory")
    assert table.missing(space.all_layers) == [LARGE.key]


def test_an_agent_without_memory_is_started_again(group, device, tmp_path):
    space = Layers(MANY_ROWS)
    killed = []

    def starve(progress):
        if progress.row and not killed:
            killed.append(agent())
            workers = children(agent())
            group.limit(0)
            group.add(agent())
            for worker in workers:  # a new one takes memory, if that was not enough
                with suppress(ProcessLookupError):
                    os.kill(worker, signal.SIGKILL)

    table = profile(device, space, SETTINGS, tmp_path / "table.tsv", rounds=1, on_progress=starve)
    assert group.kills > 0
    assert killed != [agent()]
    assert table.missing(space.all_layers) == []
