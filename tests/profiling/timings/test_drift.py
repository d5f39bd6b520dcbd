import dataclasses

import pytest

from metanas.profiling.timings import Candidate, Journal, Timing, best, candidates, judged
from metanas_agent.timer import TimerSettings

DRIFTED = "the sentinel was throttled or off its median around it"


@pytest.fixture
def row(device, space):
    return next(device.measure([space.all_layers[0]], TimerSettings()))


def steady(row):
    return Candidate(row, drifted=False)


def test_timings_that_agree_are_kept_as_they_are(row, scale):
    slower = steady(scale(row, 1.04))
    assert judged([slower, steady(row)]) is best([slower, steady(row)]) is row


def test_two_timings_that_differ_make_a_noisy_row(row, scale):
    choices = [steady(scale(row, 1.07)), steady(row), steady(scale(row, 1.3))]
    kept = dataclasses.replace(row, verdict="noisy", reason="two timings differ by 7%")
    assert judged(choices) == kept
    assert judged([*choices, steady(scale(row, 1.01))]) == row


def test_only_timings_as_good_as_the_kept_one_can_contradict_it(row, scale):
    noisy = dataclasses.replace(scale(row, 0.5), verdict="noisy", reason="wind")
    others = [steady(noisy), Candidate(scale(row, 2), drifted=True)]
    assert judged([*others, steady(row)]) == row


def test_what_has_only_drifted_timings_is_noisy(row, scale):
    choices = [Candidate(scale(row, factor), drifted=True) for factor in (1.5, 1, 1)]
    assert judged(choices) == dataclasses.replace(row, verdict="noisy", reason=DRIFTED)


@pytest.mark.parametrize("verdict", ["noisy", "throttled"])
def test_what_the_device_itself_complains_of_is_left_as_it_says(row, verdict):
    complained = dataclasses.replace(row, verdict=verdict, reason="wind")
    assert judged([Candidate(complained, drifted=True)]) is complained


def test_a_journal_keeps_what_the_device_said(tmp_path, row, scale):
    journal = Journal(tmp_path / "journal.jsonl", {})
    other = dataclasses.replace(row, key="empty/1x1x1")
    for factor in (1.0, 1.0, 1.5):
        journal.add(Timing("sentinel", scale(other, factor)))
        journal.add(Timing("row", row))
    journal = Journal(journal.path, {})
    choices = candidates(journal.timings)[row.key]
    assert [choice.drifted for choice in choices] == [False, True, True]
    assert judged(choices[1:]).reason == DRIFTED
    assert {timing.row.verdict for timing in journal.timings} == {"trusted"}
