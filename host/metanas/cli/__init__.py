"""The commands `metanas` and `metanas-profile`."""

from metanas.cli.entry import main, profile_main

__all__ = ["main", "profile_main"]
