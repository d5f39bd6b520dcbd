"""RunFolder: where everything about one run lives, and what made it."""

from __future__ import annotations

import json
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from metanas.data import (
    SPLITS,
    DataSet,
    EpisodeSampler,
    EpisodeSettings,
    Progress,
    Rotations,
    Split,
    load,
)
from metanas.errors import DataError, RunFolderError, TableMismatchError
from metanas.files import write_bytes, write_json
from metanas.meta import QueryNorm, TrainingFiles, check_same_settings
from metanas.profiling import (
    LatencyTable,
    read_table,
    refuse_batched,
    refuse_emulated,
    table_dtype,
    write_table,
)
from metanas.provenance import provenance
from metanas.spaces import SearchSpace, make_space


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What a run is about: the tasks and the space. Everything in a run folder shares it.

    Args:
        data: name of the data set.
        data_root: where its files are; empty for the default places.
        image_size: height and width such as `84x84`, for the data set `folder`; empty for its own.
        grey: one channel instead of three, for the data set `folder`.
        rotations: which splits get quarter turns as new classes: `none`, `train` or `all`; empty
            for what is customary.
        ways: classes of a task.
        shots: support images of a class.
        queries: query images of a class when evaluating.
        train_queries: query images of a class when training.
        space: name of the search space.
        downsampling: `pooled` or `strided`.
        pool: n of the n x n pooling before the classifier.
        global_expansion: whether channels are searched.
        adaptive_depth: whether the number of layers is searched.
        query_norm: batch-norm protocol of training and searching.
        workers: processes that share the work.
        seed: of everything.
    """

    data: str = "glyphs"
    data_root: str = ""
    image_size: str = ""
    grey: bool = False
    rotations: Rotations | Literal[""] = ""
    ways: int = 5
    shots: int = 1
    queries: int = 15
    train_queries: int = 5
    space: str = "vgg9"
    downsampling: str = "pooled"
    pool: int = 5
    global_expansion: bool = True
    adaptive_depth: bool = True
    query_norm: QueryNorm = "transductive"
    workers: int = 2
    seed: int = 0

    def load_data(self, progress: Progress | None = None) -> DataSet:
        """The data set; see `metanas.data.load`."""
        return load(
            self.data,
            data_root=Path(self.data_root) if self.data_root else None,
            seed=self.seed,
            rotations=self.rotations or None,
            image_size=_size(self.image_size),
            grey=self.grey,
            progress=progress,
        )

    def sampler(self, data: DataSet, split: Split) -> EpisodeSampler:
        """Tasks of the split `train`, `val` or `test`."""
        queries = self.train_queries if split == "train" else self.queries
        settings = EpisodeSettings(ways=self.ways, shots=self.shots, queries=queries)
        return EpisodeSampler(data.split(split), settings, self.seed)

    def check(self, progress: Progress | None = None) -> None:
        """Refuse what cannot work, before a folder is made.

        Raises:
            DataError: the data set cannot be loaded, or has too few classes or images.
            ArchitectureError: there is no such space.
        """
        data = self.load_data(progress)
        for split in SPLITS:
            self.sampler(data, split)
        self.make_space(data)

    def make_space(self, data: DataSet, *, dtype: str = "float32") -> SearchSpace[Any]:
        """The search space at the data set's image size, its layers in this dtype on a device."""
        return make_space(
            self.space,
            input_shape=data.shape,
            ways=self.ways,
            downsampling=self.downsampling,
            pool=self.pool,
            global_expansion=self.global_expansion,
            adaptive_depth=self.adaptive_depth,
            dtype=dtype,
        )


def _size(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise DataError(f"not an image size: {text!r}", hint="write height x width, like 84x84")
    return int(height), int(width)


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
    def create(cls, path: Path, settings: RunSettings) -> Self:
        """Make the folder, or go on with one that was made by the same settings.

        Raises:
            SettingsMismatchError: it was made by others; nothing is touched.
        """
        if (path / "run.json").exists():
            folder = cls.open(path)
            check_same_settings(path, asdict(folder.settings), asdict(settings))
            return folder
        path.mkdir(parents=True, exist_ok=True)
        made = {"settings": asdict(settings), "provenance": provenance(seed=settings.seed)}
        write_json(path / "run.json", made)
        return cls(path, settings)

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
            raise RunFolderError(f"cannot read {file}: {error}") from error

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
        dtypes = {device: table_dtype(path) for device, path in self.tables.items()}
        if len(set(dtypes.values())) > 1:
            told = ", ".join(f"{device}: {dtype}" for device, dtype in dtypes.items())
            raise TableMismatchError(
                f"the tables of {self.path} are of several dtypes ({told})",
                hint="search each dtype in a run folder of its own: metanas adapt --supernet",
            )
        return self.settings.make_space(data, dtype=next(iter(dtypes.values()), "float32"))

    def known_table(self, device: str) -> Path:
        """The table of a device, which must be in the folder.

        Raises:
            RunFolderError: it is not.
        """
        if device not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise RunFolderError(
                f"{self.path} has no table of {device!r}; it has: {known}",
                hint=f"profile it and adapt with it: metanas adapt {self.path} --table ...",
            )
        return self.table(device)

    def keep_table(self, source: Path, *, allow_emulated: bool = False) -> None:
        """Copy a table into the folder, so that the run stays whole by itself.

        The same table again leaves the rows alone that were measured since.

        Raises:
            BatchTableError: it is of several images a call.
            EmulatedTableError: it comes from an emulator, and that was not asked for.
            TableError: it cannot be read.
        """
        refuse_batched(source)
        if not allow_emulated:
            refuse_emulated(source)
        device, table = read_table(source).header.device.name, source.read_bytes()
        given = self._given(device)
        if given.exists() and given.read_bytes() == table:
            return
        given.unlink(missing_ok=True)
        write_bytes(self.table(device), table)

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
