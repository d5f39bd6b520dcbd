"""The journal of a search: its settings, then a line for every round."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from metanas.errors import CheckpointError
from metanas.files import append_json_line, read_json_lines
from metanas.meta import check_same_settings
from metanas.records import from_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRound:
    """A round; every list has a value for each of the architectures.

    Args:
        round: its number.
        task_set: number of its tasks; the rounds before had the same if the number is the same.
        architectures: the population: the last round's elite, then its children.
        tasks: how many of these tasks each has seen.
        losses: mean query loss over these tasks.
        accuracies: mean share of query images classified rightly.
        costs: by name.
        evaluations: adaptations to a task that the round took.
        seconds: that the round took.
    """

    round: int
    task_set: int
    architectures: tuple[str, ...]
    tasks: tuple[int, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    costs: dict[str, tuple[float, ...]]
    evaluations: int
    seconds: float

    def __post_init__(self) -> None:
        for values in (self.tasks, self.losses, self.accuracies):
            if len(values) != len(self.architectures):
                raise ValueError("lists of different length")

    @property
    def complete(self) -> dict[str, tuple[float, float]]:
        """Loss and accuracy of the architectures that saw all tasks of the round."""
        outcomes = zip(self.architectures, self.tasks, self.losses, self.accuracies, strict=True)
        most = max(self.tasks, default=0)
        return {text: (loss, right) for text, tasks, loss, right in outcomes if tasks == most}

    @property
    def least_loss(self) -> float:
        """Of those that saw all tasks."""
        return min(loss for loss, _ in self.complete.values())


class SearchJournal:
    """A file that grows by a line a round.

    Args:
        path: of the file; it need not exist.
        settings: that the search is asked with.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self.settings = settings

    def read(self) -> list[SearchRound] | None:
        """The rounds so far; None if the search has not begun.

        Raises:
            CheckpointError: the file is no journal, or is broken.
            SettingsMismatchError: it was made by other settings.
        """
        try:
            lines = read_json_lines(self.path)
        except ValueError as error:
            raise self._unreadable(error) from error
        if not lines:
            return None
        header, *rounds = lines
        if not isinstance(header, dict) or "settings" not in header:
            raise CheckpointError(f"{self.path} is no search journal", hint="delete it")
        check_same_settings(self.path, header["settings"], self.settings)
        try:
            return [from_plain(SearchRound, line) for line in rounds]
        except ValueError as error:
            raise self._unreadable(error) from error

    def begin(self) -> None:
        """Write the settings."""
        append_json_line(self.path, {"settings": self.settings})

    def append(self, line: SearchRound) -> None:
        """Write a round."""
        append_json_line(self.path, asdict(line))

    def _unreadable(self, error: ValueError) -> CheckpointError:
        return CheckpointError(f"cannot read search journal {self.path}: {error}", hint="delete it")
