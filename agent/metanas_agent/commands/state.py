"""The option `--state`, which most commands have."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from metanas_agent.errors import InvalidSettingsError
from metanas_agent.state import StateFolder


def add_state_option(command: argparse.ArgumentParser) -> None:
    """Let a command be told where the agent's state lies."""
    command.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="folder of keys, uploaded programs and bundles (default "
        "$XDG_DATA_HOME/metanas-agent, or ~/.local/share/metanas-agent)",
    )


def state_of(options: argparse.Namespace) -> StateFolder:
    """The folder that was given, or the default one; it need not be there.

    Raises:
        InvalidSettingsError: it, or what should be a folder above it, is a file.
    """
    state = StateFolder(options.state.absolute()) if options.state else StateFolder.default()
    first = next(path for path in (state.root, *state.root.parents) if os.path.lexists(path))
    if not first.is_dir():
        raise InvalidSettingsError(f"{first} is no folder", hint="give a folder with --state")
    return state
