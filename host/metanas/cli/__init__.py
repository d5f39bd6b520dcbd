"""The commands `metanas` and `metanas-profile`."""

from metanas.cli.app import main

__all__ = ["main"]
