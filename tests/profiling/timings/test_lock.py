import os
import signal
import subprocess
import sys
import threading

import pytest

from metanas.errors import TableBusyError
from metanas.profiling import profile
from metanas.profiling.timings import exclusive
from metanas_agent.timer import TimerSettings

HOLDER = """
import sys
from pathlib import Path
from metanas.profiling.timings import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "toy.tsv.journal.jsonl"


@pytest.fixture
def holder(path):
    """Another process that holds it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_an_empty_file_is_removed_and_another_kept(path):
    with exclusive(path):
        assert path.exists()
    assert not path.exists()
    with exclusive(path):
        path.write_text("something")
    with exclusive(path):
        pass
    assert path.read_text() == "something"


def test_a_second_process_is_refused_until_the_first_is_killed(path, holder):
    with pytest.raises(TableBusyError, match=r"toy\.tsv.*wait until it ends"), exclusive(path):
        pass
    assert path.exists()
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with exclusive(path):
        pass


def test_a_second_thread_is_refused(path):
    refused = []

    def try_it():
        try:
            with exclusive(path):
                refused.append(False)
        except TableBusyError:
            refused.append(True)

    with exclusive(path):
        thread = threading.Thread(target=try_it)
        thread.start()
        thread.join()
    assert refused == [True]


def test_a_file_that_its_holder_removes_or_renames_is_no_lock_any_more(path):
    with exclusive(path):
        path.write_text("ours")
        path.rename(path.with_suffix(".kept"))
        with exclusive(path):
            assert path.read_text() == ""
    assert path.with_suffix(".kept").read_text() == "ours"
    assert not path.exists()


def test_only_one_of_many_holds_it(path):
    """However they hit upon each other's removals."""
    inside, most, entered = [0], [0], [0]
    guard = threading.Lock()

    def try_often():
        for _ in range(200):
            try:
                with exclusive(path):
                    with guard:
                        inside[0] += 1
                        entered[0] += 1
                        most[0] = max(most[0], inside[0])
                    with guard:
                        inside[0] -= 1
            except TableBusyError:
                pass

    threads = [threading.Thread(target=try_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    assert entered[0] > 0
    assert not path.exists()


def test_a_second_sweep_of_one_table_is_refused(weathered, device, space, tmp_path):
    out = tmp_path / "toy.tsv"
    settings = TimerSettings()
    board = weathered(device)
    refused = []

    def second(progress):
        if progress.done == 5 and not refused:
            with pytest.raises(TableBusyError, match=r"toy\.tsv") as caught:
                profile(weathered(device), space, settings, out, fresh=True)
            refused.append(caught.value)

    table = profile(board, space, settings, out, rounds=1, on_progress=second)
    assert refused
    assert len(board.asked) == len(table.rows) + table.header.sentinel.timings
    assert list(tmp_path.iterdir()) == [out]
