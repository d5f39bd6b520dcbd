"""What a command says of a value that an option does not take."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

_WORDS = {
    "int_parsing": "is no whole number",
    "int_parsing_size": "has too many digits",
    "int_from_float": "is no whole number",
    "float_parsing": "is no number",
    "greater_than_equal": "is not {ge} or more",
    "less_than_equal": "is not {le} or less",
    "greater_than": "is not more than {gt}",
    "less_than": "is not less than {lt}",
}
"""Kind of a refusal, as pydantic names it, to what is wrong with the value."""

_LONGEST = 40


class PlainGroup(TyperGroup):
    """A group of commands that says of a refused value what it was, and why, in plain words."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Read the group's own options."""
        with _in_plain_words():
            return super().make_context(*args, **kwargs)

    def invoke(self, *args: Any, **kwargs: Any) -> Any:
        """Read a command's options, and run it."""
        with _in_plain_words():
            return super().invoke(*args, **kwargs)


@contextmanager
def _in_plain_words() -> Iterator[None]:
    try:
        yield
    except typer.BadParameter as error:
        error.message = _plain(error)
        raise


def _plain(error: typer.BadParameter) -> str:
    """Typer's message, or another where it has but passed on what pydantic says."""
    details = getattr(error.__cause__, "errors", None)
    if details is None:
        return error.message
    first = details()[0]
    if words := _WORDS.get(first["type"]):
        value = str(first["input"])
        shown = value if len(value) <= _LONGEST else f"{value[:_LONGEST]}..."
        limits = {name: _number(limit) for name, limit in first.get("ctx", {}).items()}
        return f"{shown!r} {words.format(**limits)}"
    return str(first["msg"]).removeprefix("Value error, ")


def _number(limit: object) -> str:
    """0.0 as 0."""
    return str(limit).removesuffix(".0")
