"""What a command was asked for, printed for people: to standard output, so that a pipe gets it.

Progress, notes and errors go to standard error; see `metanas.cli.shell`.
"""

from __future__ import annotations

import io
import sys

from rich.console import Console, RenderableType

from metanas.cli.shell import printable

_NEVER_WRAPPED = 100_000


def result_console(*, whole_lines: bool = False) -> Console:
    """Writes to standard output; its lines are wrapped to the width of a terminal alone.

    Args:
        whole_lines: not there either, since people copy names from them.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error is
    unwrapped = whole_lines or not sys.stdout.isatty()
    return Console(width=_NEVER_WRAPPED if unwrapped else None)


def print_result(what: RenderableType, *, whole_lines: bool = False) -> None:
    """Print a table, or another thing that rich can draw; see `result_console`."""
    result_console(whole_lines=whole_lines).print(what)


def tell(text: str) -> None:
    """One line of a result, whatever is in it."""
    line = printable(text)
    result_console().print(line, markup=False, highlight=False, soft_wrap=True)
