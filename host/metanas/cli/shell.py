"""What every command shares: one console, one way to fail."""

from __future__ import annotations

import json
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

from metanas.cli.entry import INTERRUPTED
from metanas.errors import MetanasError
from metanas_agent.files import DISK_FULL

console = Console(stderr=True)
"""Where people read: progress and messages. Results for scripts go to standard output."""

FAILED = 1


def print_json(value: Any) -> None:
    """Write a result for a script to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def run_app(app: typer.Typer) -> NoReturn:
    """Run a typer application: exit code 0, 1 (failed, one clear line) or 2 (usage)."""
    try:
        app()
    except (MetanasError, OSError) as error:
        print_failure(error)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        _stop()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # what typer makes of Ctrl-C
            _stop()
        raise
    sys.exit(0)


def say(text: str) -> None:
    """One line for people, whatever is in it."""
    console.print(printable(text), markup=False, highlight=False, soft_wrap=True)


def print_failure(error: MetanasError | OSError, *, of: str = "") -> None:
    """One line that says what failed (of which device, say), and one that says what to do."""
    if isinstance(error, MetanasError):
        what, hint = error.what, error.hint
    else:
        full = error.errno in DISK_FULL
        what = "the disk is full" if full else f"{error.strerror or error}"
        hint = "free some space and run it again" if full else ""
        if error.filename:
            what += f": {error.filename}"
            hint = hint or "check the path and its rights"
    what = f"error: {of}: {what}" if of else f"error: {what}"
    console.print(printable(what), style="red", markup=False, highlight=False, soft_wrap=True)
    if hint:
        console.print(f"  {printable(hint)}", markup=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    r"""The text with what a terminal could obey written out, such as `\x1b`.

    Names and reasons that come from a device are a stranger's texts.
    """
    return "".join(
        sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode()
        for sign in text
    )


def _stop() -> NoReturn:
    console.print("stopped; the same command goes on from here", highlight=False)
    sys.exit(INTERRUPTED)
