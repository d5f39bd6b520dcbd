"""Where the console scripts begin: light, so that Ctrl-C ends them well while they import."""

from __future__ import annotations

import sys
from importlib import import_module

INTERRUPTED = 130


def main() -> None:
    """Run `metanas`."""
    _run("metanas.cli.app")


def profile_main() -> None:
    """Run `metanas-profile`."""
    _run("metanas.cli.profile")


def _run(module: str) -> None:
    try:
        import_module(module).main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
