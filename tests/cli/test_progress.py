"""What long commands show while they run: bars on a terminal, lines in a log."""

import io
import re

import pytest
from rich.console import Console

from metanas.cli import progress, shell
from metanas.cli.progress import progress_bar
from metanas.errors import DataError

SMALL = "--epochs 1 --iterations 3 --tasks 1 --inner-steps 1 --train-queries 1 --ways 2".split()
NETWORK = ["--queries", 2, "--workers", 1, "--architecture", "k1c16relu", "--validation-tasks", 0]


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal gets, control codes and all."""
    screen = io.StringIO()
    for module in (progress, shell):
        monkeypatch.setattr(
            module,
            "console",
            Console(file=screen, force_terminal=True, width=100, color_system=None),
        )
    return screen


def lines(capsys):
    return [line.split("  ")[0] for line in capsys.readouterr().err.splitlines()]


def test_a_log_gets_the_first_step_and_the_last(capsys):
    with progress_bar("training", 500) as advance:
        for step in range(500):
            advance(step + 1, detail=f"loss {step}")
    assert lines(capsys) == ["training 1/500", "training 500/500"]


def test_a_log_gets_a_line_now_and_then(capsys, monkeypatch):
    """A step takes ten seconds of this clock: first each has a line, and later ever fewer."""
    now_s = 0.0
    monkeypatch.setattr(shell.console, "get_time", lambda: now_s)
    with progress_bar("training", 10_000) as advance:
        for step in range(10_000):
            now_s += 10.0
            advance(step + 1, detail=f"loss {step}")
            if step == 50:
                assert len(lines(capsys)) == 51
    said = lines(capsys)
    assert said[-1] == "training 10000/10000"
    assert 200 < len(said) < 600


def test_a_line_tells_the_time_that_is_left(capsys, monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(shell.console, "get_time", lambda: now_s)
    with progress_bar("training", 100) as advance:
        for step in range(10):
            now_s += 60.0
            advance(step + 1, detail="loss 0.5")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "training 10/100  0:10:00 so far, 1:30:00 left  loss 0.5"


def test_a_log_gets_a_sign_of_life_from_a_long_first_step(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.01)
    with progress_bar("search", 8) as advance:
        advance._sign_of_life.join()
        assert lines(capsys) == ["search 0/8"]
        advance(1)
    assert lines(capsys) == ["search 1/8"]


def test_what_does_not_move_leaves_no_line(capsys):
    with progress_bar("loading glyphs"), progress_bar("search", 8):
        pass
    with pytest.raises(DataError), progress_bar("loading folder"):
        raise DataError("no such folder")
    assert capsys.readouterr() == ("", "")


def test_what_does_not_move_leaves_a_terminal_as_it_was(terminal):
    with progress_bar("search", 8):
        pass
    shown = terminal.getvalue()
    assert "search" in shown
    left = shown.rpartition("\x1b[2K")[2]
    assert left == "\x1b[?25h"  # the cursor is back in the line that it was in


def test_what_moves_stays_on_a_terminal(terminal):
    with progress_bar("search", 8) as advance:
        advance(8, detail="least loss 0.1")
    left = terminal.getvalue().rpartition("\x1b[2K")[2]
    assert "8/8" in left
    assert "least loss 0.1" in left


def test_what_was_done_before_is_not_shown_again(command, tmp_path):
    train = ["train", tmp_path / "run", *SMALL, *NETWORK, "--episodes", 2]
    code, _, err = command(*train)
    assert code == 0, err
    assert "baseline 3/3" in err
    assert "evaluating baseline 2/2" in err
    code, _, err = command(*train)
    assert code == 0, err
    assert not re.search("baseline|glyphs|so far", err)
