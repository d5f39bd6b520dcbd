"""Find a Python on the board that the agent can run with."""

from __future__ import annotations

from metanas.errors import NoPythonError, PythonTooOldError
from metanas.pairing.ssh import SshSession

_NAMES = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
_OLDEST = (3, 11)
_ASK = """\
import sys
print('%d.%d' % sys.version_info[:2])
print(sys.executable)
try:
    import asyncio, ctypes, json, ssl, zlib
except ImportError as error:
    print(error)
"""


def find_python(session: SshSession, wished: str = "") -> tuple[str, str]:
    """Path and version of the board's interpreter.

    Args:
        session: leads to the board.
        wished: the only one to try; by default the usual names are.

    Raises:
        NoPythonError: none answers, or it lacks a part of the standard library.
        PythonTooOldError: only ones that are too old for the agent do.
    """
    names = (wished,) if wished else _NAMES
    too_old, lacking = [], []
    for name in names:
        done = session.run([name, "-I", "-c", _ASK])
        version, path, missing = (*done.output.splitlines(), "", "", "")[:3]
        numbers = version.split(".")
        if done.code or not path or not all(number.isdecimal() for number in numbers):
            continue
        if tuple(map(int, numbers)) < _OLDEST:
            too_old.append(f"{name} is {version}")
        elif missing:
            lacking.append(f"{name}: {missing}")
        else:
            return path, version
    oldest, tried = ".".join(map(str, _OLDEST)), ", ".join(names)
    hint = (
        f"install Python {oldest} or newer there (Raspberry Pi OS 'bookworm' brings it), or name "
        "another with --python"
    )
    if lacking:
        raise NoPythonError(
            f"the board's Python is not whole: {', '.join(lacking)}",
            hint="install the whole of it there: sudo apt install python3",
        )
    if too_old:
        raise PythonTooOldError(
            f"the board's Python is too old: {', '.join(too_old)}; the agent needs {oldest} "
            f"(tried {tried})",
            hint=hint,
        )
    raise NoPythonError(f"no Python answers on the board (tried {tried})", hint=hint)
