"""RunSettings: what a run is about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
from metanas.errors import DataError
from metanas.meta import QueryNorm
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
