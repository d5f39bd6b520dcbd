"""Which timing stands for a network."""

import pytest

from metanas.profiling.fidelity.network_timings import NetworkTimings
from metanas.profiling.timings import Journal, Timing


@pytest.fixture
def timed(table, scale, tmp_path):
    """What stands for a network, of timings as (its factor, the sentinel's around it, verdict)."""
    row = list(table.rows.values())[1]
    row = scale(row, 1 / row.median_ms)

    def typical(*timings):
        journal = Journal(tmp_path / "j.jsonl", {})
        found = NetworkTimings(journal, ["network"], len(timings))
        for number, (latency_ms, sentinel_ms, verdict) in enumerate(timings):
            changes = {"key": "network", "verdict": verdict, "samples": 20 + number}
            timing = scale(row, latency_ms, **changes)
            for purpose, kept in (
                ("sentinel", scale(row, sentinel_ms, key="sentinel")),
                ("row", timing),
                ("sentinel", scale(row, sentinel_ms, key="sentinel")),
            ):
                found.add(Timing(purpose, kept))
        return found.typical()["network"]

    return typical


def test_the_middle_one_and_not_the_fastest(timed):
    found = timed((1.02, 1, "trusted"), (1.00, 1, "trusted"), (1.03, 1, "trusted"))
    assert (found.latency.median_ms, found.latency.samples) == (1.02, 20)
    assert found.latency.verdict == "trusted"
    assert found.is_usable


def test_what_was_timed_while_the_device_was_slow_is_no_slower(timed):
    """The sentinel tells; a drift of 4% is none that a timing is made again for."""
    slow = 1.04
    found = timed((1.01, 1, "trusted"), (slow * 1.00, slow, "trusted"), (1.02, 1, "trusted"))
    assert found.latency.median_ms == pytest.approx(1.01)
    assert found.sentinel_ms == pytest.approx(1, rel=0.021)


def test_only_the_most_trusted_count(timed):
    noisy = [(1.2, 1, "noisy"), (1.3, 1, "noisy"), (1.4, 1, "noisy")]
    assert timed(*noisy).latency.median_ms == 1.3
    assert timed((1.5, 1, "trusted")).latency.median_ms == 1.5  # beside the noisy ones


def test_timings_that_are_far_apart_are_no_proof(timed):
    found = timed((1.0, 1, "trusted"), (1.1, 1, "trusted"), (1.2, 1, "trusted"))
    assert (found.latency.median_ms, found.latency.verdict) == (1.1, "noisy")
    assert found.latency.reason == "two timings differ by 10%"
