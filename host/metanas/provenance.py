"""Where a file comes from: command, version, seed, machine, time."""

from __future__ import annotations

import platform
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path

from metanas import __version__


def provenance(*, seed: int | None = None) -> dict[str, str | int]:
    """What every file that metanas writes says of its own making."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name
    command = shlex.join([name, *sys.argv[1:]])
    made: dict[str, str | int] = {
        "command": command,
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return made if seed is None else {**made, "seed": seed}
