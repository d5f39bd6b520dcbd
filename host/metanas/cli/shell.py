"""What every command shares: one console, one way to fail."""

from __future__ import annotations

import errno
import json
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

from metanas.errors import MetanasError

console = Console(stderr=True)
"""Where people read: progress and messages. Results for scripts go to standard output."""

FAILED = 1
INTERRUPTED = 130


def print_json(value: Any) -> None:
    """Write a result for a script to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def run_app(app: typer.Typer) -> NoReturn:
    """Run a typer application: exit code 0, 1 (failed, one clear line) or 2 (usage)."""
    try:
        app()
    except MetanasError as error:
        _fail(error.what, error.hint)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            _fail(f"the disk is full: {error.filename or ''}", "free some space and run it again")
        _fail(f"{error.strerror or error}: {error.filename or ''}", "check the path and its rights")
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # what typer makes of Ctrl-C
            _stop()
        raise
    sys.exit(0)


def _fail(what: str, hint: str) -> NoReturn:
    console.print(f"error: {what}", style="red", markup=False, highlight=False, soft_wrap=True)
    if hint:
        console.print(f"  {hint}", markup=False, highlight=False, soft_wrap=True)
    sys.exit(FAILED)


def _stop() -> NoReturn:
    console.print("stopped; the same command goes on from here", highlight=False)
    sys.exit(INTERRUPTED)
