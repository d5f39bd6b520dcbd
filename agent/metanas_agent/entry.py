"""Where `metanas-agent` begins: light, so that Ctrl-C ends it well while it imports."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; see `metanas_agent.cli`."""
    try:
        from metanas_agent.cli import main as run  # noqa: PLC0415 - it is not light

        run()
    except KeyboardInterrupt:
        sys.exit(130)
