"""The option `--state`, which most commands have."""

from __future__ import annotations

import argparse
from pathlib import Path

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
    """The folder that was given, or the default one."""
    return StateFolder(options.state.absolute()) if options.state else StateFolder.default()
