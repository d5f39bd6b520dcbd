"""Kill agent, worker, host or link at any instant: it costs no timing and doubles none."""

import shutil
from collections import Counter

import pytest

from metanas.devices import AgentDevice
from metanas.profiling import CALL, profile, read_table
from metanas.profiling.fidelity import networks_journal
from metanas.profiling.timings import journal_path
from metanas.spaces import VGG9Space
from metanas_agent.timer import TimerSettings
from support.kill_bench import KillBench
from support.sweeping_host import Layers

ROWS = 60
NETWORKS = 6
ROUNDS = 3  # of a calibration
SPACE = VGG9Space(input_shape=(1, 2, 2), ways=5, global_expansion=False, adaptive_depth=False)
QUICK = TimerSettings(budget_ms=1.0, min_samples=6, interval=0.2, sample_ms=0.01)


def timed(journal):
    return Counter(line["row"]["key"] for line in journal if "row" in line)


@pytest.mark.parametrize(
    "kills", [6, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_no_kill_costs_or_doubles_a_row_of_a_sweep(tmp_path, kills):
    asked = sorted(layer.key for layer in (CALL, *Layers(ROWS).all_layers))

    def begin(number):
        nonlocal table
        table = tmp_path / f"sweep{number}.tsv"
        bench.work(journal_path(table), table, ROWS)

    def check(journal):
        assert timed(journal) == dict.fromkeys(asked, 1)
        assert sorted(read_table(table).rows) == asked
        written = [line.split("\t")[0] for line in table.read_text().splitlines()]
        assert all(written.count(key) == 1 for key in asked)

    table = None
    with KillBench(tmp_path, "sweeping_host", longest_wait_s=1.5) as bench:
        bench.kill_until(kills, begin, check)
    assert kills < 20 or all(bench.killed.values())


@pytest.mark.parametrize(
    "kills", [6, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_no_kill_costs_or_doubles_a_network_of_a_calibration(tmp_path, kills):
    plain = tmp_path / "plain.tsv"

    def begin(number):
        nonlocal table
        table = tmp_path / f"{number}" / "table.tsv"
        table.parent.mkdir()
        shutil.copy(plain, table)
        bench.work(networks_journal(table), table, NETWORKS)

    def check(journal):
        """The line is written, it is of all networks, and nothing but it has changed."""
        assert len(timed(journal)) == NETWORKS
        assert set(timed(journal).values()) == {ROUNDS}
        calibrated = read_table(table)
        assert calibrated.header.calibration.networks == NETWORKS
        assert calibrated.uncalibrated == read_table(plain)
        kept = bench.journal.with_suffix(".kept")
        assert sorted(table.parent.glob("[!.]*")) == sorted([table, kept])

    table = None
    with KillBench(tmp_path, "calibrating_host", longest_wait_s=4.0) as bench:
        with AgentDevice("board", bench.agent.endpoint) as device:
            profile(device, SPACE, QUICK, plain, rounds=1)
        bench.kill_until(kills, begin, check)
    assert kills < 20 or all(bench.killed.values())
