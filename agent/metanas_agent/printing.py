"""Texts from a stranger: without what a terminal would obey."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a mark in the place of each character that is not shown."""
    return "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
