"""In processes of their own: who pins itself stays pinned."""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import json, os, sys
from metanas_agent.errors import MeasurementFailedError
from metanas_agent.pinning import pinned
from metanas_agent.timer import TimerSettings
try:
    core = pinned(TimerSettings(**json.loads(sys.argv[1]))).core
    print(json.dumps([core, sorted(os.sched_getaffinity(0))]))
except MeasurementFailedError as error:
    print(json.dumps([error.what, error.hint]))
"""


def pin(**settings):
    command = [sys.executable, "-c", PROGRAM, json.dumps(settings)]
    run = subprocess.run(command, capture_output=True, check=True)
    return json.loads(run.stdout)


@pytest.fixture
def usable():
    return sorted(os.sched_getaffinity(0))


def test_pins_to_the_last_core(usable):
    assert pin() == [usable[-1], [usable[-1]]]


def test_pins_to_the_core_asked_for(usable):
    assert pin(core=usable[0]) == [usable[0], [usable[0]]]


def test_leaves_it_to_the_system(usable):
    assert pin(core=None, threads=2) == [None, usable]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_pins_threads_to_as_many_of_the_last_cores(usable):
    assert pin(threads=2) == [usable[-1], usable[-2:]]


def test_too_few_cores_are_said(usable):
    what, hint = pin(threads=len(usable) + 1)
    assert what == f"cannot pin {len(usable) + 1} threads to core {usable[-1]} and those before it"
    assert hint.startswith("usable cores:")
    assert pin(core=60_000)[0].startswith("cannot pin to core 60000")
