"""`metanas-profile` in this process."""

import sys

import pytest

from metanas.cli import profile as command


def ended(patch, *arguments):
    """The exit code of the command."""
    patch.setattr(sys, "argv", ["metanas-profile", *map(str, arguments)])
    with pytest.raises(SystemExit) as exited:
        command.main()
    return exited.value.code
