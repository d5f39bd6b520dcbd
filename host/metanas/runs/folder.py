"""RunFolder: where everything about one run lives, and what made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass
from itertools import count
from pathlib import Path
from typing import Any, Self

from metanas.data import DataSet
from metanas.errors import RunFolderError
from metanas.files import write_bytes, write_json
from metanas.meta import TrainingFiles, check_same_settings
from metanas.profiling import (
    LatencyTable,
    read_table,
    refuse_batched,
    refuse_emulated,
    write_table,
)
from metanas.provenance import provenance
from metanas.runs.settings import RunSettings
from metanas.runs.tables import common_dtype
from metanas.spaces import SearchSpace


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Names of the files in a run folder, and the settings that it was made with.

    Args:
        path: the folder.
        settings: what the run is about.
    """

    path: Path
    settings: RunSettings

    @classmethod
    def prepare(cls, path: Path, settings: RunSettings) -> Self:
        """The folder that `create` would give, for checks; nothing is made.

        Raises:
            RunFolderError: its settings cannot be read.
            SettingsMismatchError: it was made by others.
        """
        if (path / "run.json").exists():
            folder = cls.open(path)
            check_same_settings(path, asdict(folder.settings), asdict(settings))
        return cls(path, settings)

    @classmethod
    def create(cls, path: Path, settings: RunSettings) -> Self:
        """Make the folder, or go on with one that was made by the same settings.

        Raises:
            RunFolderError: its settings cannot be read.
            SettingsMismatchError: it was made by others; nothing is touched.
        """
        folder = cls.prepare(path, settings)
        if (path / "run.json").exists():
            return folder
        path.mkdir(parents=True, exist_ok=True)
        made = {"settings": asdict(settings), "provenance": provenance(seed=settings.seed)}
        write_json(path / "run.json", made)
        return folder

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the settings of a folder.

        Raises:
            RunFolderError: it is no run folder.
        """
        file = path / "run.json"
        if not file.is_file():
            raise RunFolderError(f"{path} is no run folder", hint="make one with: metanas train")
        try:
            return cls(path, RunSettings(**json.loads(file.read_text())["settings"]))
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"cannot read {file}: {error}",
                hint="restore the file, or delete it and run its stage again",
            ) from error

    def take_over(self, source: RunFolder, name: str) -> None:
        """Copy a training of another folder into this one, if it is not here yet.

        Raises:
            RunFolderError: the source has no such training.
        """
        for here, there in zip(
            astuple(self.training(name)), astuple(source.training(name)), strict=True
        ):
            if not there.is_file():
                raise RunFolderError(f"{there} does not exist", hint="train there first")
            if not here.exists():
                write_bytes(here, there.read_bytes())

    def training(self, name: str) -> TrainingFiles:
        """Files of the training `supernet`, `found` or another network's."""
        return TrainingFiles(self.path / f"{name}.safetensors", self.path / f"{name}.metrics.jsonl")

    def table(self, device: str) -> Path:
        """The latency table of a device that the run uses."""
        return self.path / "tables" / f"{device}.tsv"

    @property
    def tables(self) -> dict[str, Path]:
        """Device name to table, of every table in the folder."""
        return {path.stem: path for path in sorted(self.table("*").parent.glob("*.tsv"))}

    def priced_space(self, data: DataSet) -> SearchSpace[Any]:
        """The search space in the dtype of the tables' rows: what the run's networks shall run in.

        Raises:
            TableMismatchError: the tables are of several dtypes.
            TableError: a table cannot be read.
        """
        return self.settings.make_space(data, dtype=common_dtype(self.tables))

    def keep_table(self, source: Path, *, allow_emulated: bool = False) -> Path | None:
        """Copy a table into the folder, so that the run stays whole by itself.

        The same table again leaves the rows alone that were measured since.

        Returns:
            Where another table of the device lies now that was there, if there was one.

        Raises:
            BatchTableError: it is of several images a call.
            EmulatedTableError: it comes from an emulator, and that was not asked for.
            TableError: it cannot be read.
        """
        refuse_batched(source)
        if not allow_emulated:
            refuse_emulated(source)
        device, table = read_table(source).header.device.name, source.read_bytes()
        known = self.given_tables.get(device)
        if known and known.read_bytes() == table:
            return None
        former = self._set_aside(device) if known else None
        write_bytes(self.table(device), table)
        return former

    def keep_tables(self, sources: Mapping[str, Path], *, allow_emulated: bool) -> list[Path]:
        """As `keep_table`; tables of devices that are not among these are set aside.

        Args:
            sources: device name to table.
            allow_emulated: whether a table may come from an emulator.

        Returns:
            Where the tables lie now that were set aside: nothing is lost.
        """
        kept = [self.keep_table(path, allow_emulated=allow_emulated) for path in sources.values()]
        others = [self._set_aside(device) for device in self.tables if device not in sources]
        return [path for path in (*kept, *others) if path]

    def _set_aside(self, device: str) -> Path:
        """Move a table, with what was measured for it, to where the run does not see it."""
        table = self.table(device)
        for number in count(1):
            aside = table.parent / "unused" / f"{device}{f'-{number}' if number > 1 else ''}.tsv"
            if not aside.exists() or aside.read_bytes() == table.read_bytes():
                break
        aside.parent.mkdir(exist_ok=True)
        table.replace(aside)
        self._given(device).unlink(missing_ok=True)
        return aside

    def replace_table(self, device: str, table: LatencyTable) -> None:
        """Put a table of measured rows in the place of one that was given; that one is kept."""
        given = self._given(device)
        if not given.exists():
            write_bytes(given, self.table(device).read_bytes())
        write_table(table, self.table(device))

    @property
    def given_tables(self) -> dict[str, Path]:
        """As `tables`, each as it was given, before rows of it were measured."""
        given = {device: self._given(device) for device in self.tables}
        return self.tables | {device: path for device, path in given.items() if path.exists()}

    def _given(self, device: str) -> Path:
        return self.path / "tables" / "given" / f"{device}.tsv"

    @property
    def search_journal(self) -> Path:
        """One line a round."""
        return self.path / "search.jsonl"

    @property
    def search(self) -> Path:
        """Winner, constraints and Pareto front."""
        return self.path / "search.json"

    @property
    def evaluation(self) -> Path:
        """Accuracy and cost of each retrained network."""
        return self.path / "evaluation.json"

    @property
    def closed_loop(self) -> Path:
        """One line for each winner that was timed before it was answered."""
        return self.path / "closed_loop.jsonl"

    @property
    def model(self) -> Path:
        """The exported network, adapted to the first verification task."""
        return self.path / "model.onnx"

    @property
    def adaptation_graph(self) -> Path:
        """Turns a support set into weights of the exported network."""
        return self.path / "adapt.onnx"

    @property
    def classifier_graph(self) -> Path:
        """Turns a support set and query images into logits."""
        return self.path / "classify.onnx"

    @property
    def int8_model(self) -> Path:
        """The exported network quantised, if it is worth it on the device that it was tried on."""
        return self.path / "model.int8.onnx"

    @property
    def quantisation(self) -> Path:
        """What int8 cost and gained on a device."""
        return self.path / "quantisation.json"

    @property
    def verification(self) -> Path:
        """What the device gave, against what was promised."""
        return self.path / "verify.json"

    def read_json(self, file: Path, *, made_by: str) -> Any:
        """A JSON file of the folder.

        Args:
            file: which one.
            made_by: the command that makes it, for the error.

        Raises:
            RunFolderError: it is absent or broken.
        """
        if not file.is_file():
            raise RunFolderError(f"{file} does not exist", hint=f"run first: {made_by} {self.path}")
        try:
            return json.loads(file.read_text())
        except ValueError as error:
            raise RunFolderError(
                f"cannot read {file}: {error}", hint="delete it, and make it again"
            ) from error
