"""Prompts: what pairing may have to ask a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _decline(_question: str) -> bool:
    return False


def _nothing(_question: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Prompts:
    """How a person is asked and told; by default nobody is there.

    Args:
        confirm: shows a question, gives the answer.
        secret: shows a question, gives a password or passphrase; empty where there is none.
    """

    confirm: Callable[[str], bool] = _decline
    secret: Callable[[str], str] = _nothing
