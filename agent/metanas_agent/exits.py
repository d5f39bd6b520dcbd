"""How a process ended, in words."""

from __future__ import annotations

import signal


def exit_name(code: int) -> str:
    """The signal's name, such as `SIGILL`, or `exit code 3`.

    Args:
        code: as `subprocess` gives it, negative for a signal.
    """
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def exit_hint(code: int) -> str:
    """What to do about it."""
    if code == -signal.SIGKILL:
        return "most likely out of memory: free some on the device, or measure something smaller"
    if code == -signal.SIGILL:
        return "it was built for another processor than this one"
    return "it may have run out of memory, or does not suit this processor"
