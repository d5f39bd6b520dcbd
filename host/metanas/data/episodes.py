"""Episodes: batches of few-shot tasks, sliced from an image set by a pure function."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from metanas.data.image_set import ImageSet
from metanas.errors import InvalidEpisodeError, NotEnoughImagesError


@dataclass(frozen=True, slots=True)
class EpisodeSettings:
    """What a task is: `ways` classes, and for each `shots` support and `queries` query images.

    Raises:
        InvalidEpisodeError: fewer than two ways, or no shots or queries.
    """

    ways: int
    shots: int
    queries: int

    def __post_init__(self) -> None:
        if self.ways < 2 or self.shots < 1 or self.queries < 1:
            raise InvalidEpisodeError(
                f"a task of {self.ways} ways, {self.shots} shots and {self.queries} queries "
                "cannot be learned",
                hint="ask for at least 2 ways, 1 shot and 1 query",
            )

    @property
    def images_per_class(self) -> int:
        """Distinct images that a task takes from each of its classes."""
        return self.shots + self.queries


@dataclass(frozen=True, slots=True, eq=False)
class Episodes:
    """A batch of tasks. Label i of a task is its i-th class; images are grouped by label.

    Args:
        support_images: (tasks, ways * shots, channels, height, width), float32, normalised.
        support_labels: (tasks, ways * shots), int64.
        query_images: (tasks, ways * queries, channels, height, width), float32, normalised.
        query_labels: (tasks, ways * queries), int64.
        classes: (tasks, ways), the image set's class indices, on the host.
    """

    support_images: torch.Tensor
    support_labels: torch.Tensor
    query_images: torch.Tensor
    query_labels: torch.Tensor
    classes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.classes)

    def parts(self, tasks: int) -> Iterator[Episodes]:
        """The same tasks in order, at most so many at once; views."""
        for start in range(0, len(self), tasks):
            part = slice(start, start + tasks)
            yield Episodes(
                support_images=self.support_images[part],
                support_labels=self.support_labels[part],
                query_images=self.query_images[part],
                query_labels=self.query_labels[part],
                classes=self.classes[part],
            )


class EpisodeSampler:
    """Draws batches of tasks, each by its number, so a resumed run gets those it would have got.

    Args:
        image_set: where images come from.
        settings: what a task is.
        seed: not negative. Two splits draw differently from one seed.

    Raises:
        NotEnoughImagesError: the set has fewer classes than ways, or a class has fewer images
            than shots and queries.
    """

    def __init__(self, image_set: ImageSet, settings: EpisodeSettings, seed: int) -> None:
        _check(image_set, settings)
        self.image_set = image_set
        self.settings = settings
        self.seed = seed
        self._split_key = zlib.crc32(image_set.split.encode())
        self._resident: dict[torch.device, torch.Tensor] = {}

    def batch(
        self, index: int, tasks: int, *, device: torch.device | str = "cpu", rank: int = 0
    ) -> Episodes:
        """Batch number `index` of this process: a pure function of seed, split, index and rank.

        A class and an image of it are drawn without replacement within a task. An accelerator gets
        the bytes of the whole set with its first batch, and from then on only numbers.
        """
        device = torch.device(device)
        ways, shots = self.settings.ways, self.settings.shots
        images = self.image_set
        rng = np.random.default_rng([self.seed, self._split_key, index, rank])
        classes = _draw_distinct(rng, np.full(tasks, images.class_count), ways)
        base, turns = np.divmod(classes, images.quarter_turns)
        picked = _draw_distinct(rng, images.counts[base], self.settings.images_per_class)
        picked += images.offsets[base][..., None]
        labels = torch.arange(ways, device=device)
        return Episodes(
            support_images=self._images(picked[..., :shots], turns, device),
            support_labels=labels.repeat_interleave(shots).expand(tasks, -1),
            query_images=self._images(picked[..., shots:], turns, device),
            query_labels=labels.repeat_interleave(self.settings.queries).expand(tasks, -1),
            classes=classes,
        )

    def _images(
        self, picked: NDArray[np.int64], turns: NDArray[np.int64], device: torch.device
    ) -> torch.Tensor:
        """Images (tasks, ways, n) turned as their class asks: (tasks, ways * n, C, H, W)."""
        pixels = self._pixels(picked, device)
        for quarter in range(1, self.image_set.quarter_turns):
            chosen = tuple(torch.from_numpy(i).to(device) for i in np.nonzero(turns == quarter))
            pixels[chosen] = torch.rot90(pixels[chosen], quarter, (-2, -1))
        mean, std = (
            torch.tensor(values, device=device).view(-1, 1, 1)
            for values in (self.image_set.mean, self.image_set.std)
        )
        return pixels.flatten(1, 2).to(torch.float32).mul_(1 / (255 * std)).sub_(mean / std)

    def _pixels(self, picked: NDArray[np.int64], device: torch.device) -> torch.Tensor:
        if device.type == "cpu":
            return torch.from_numpy(self.image_set.images[picked])
        if device not in self._resident:
            self._resident[device] = torch.tensor(self.image_set.images, device=device)
        return self._resident[device][torch.from_numpy(picked).to(device)]


def _check(image_set: ImageSet, settings: EpisodeSettings) -> None:
    if image_set.class_count < settings.ways:
        raise NotEnoughImagesError(
            f"the {image_set.split} split has {image_set.class_count} classes, "
            f"fewer than {settings.ways} ways",
            hint="ask for fewer ways, or add classes",
        )
    fewest = int(image_set.counts.argmin())
    count = int(image_set.counts[fewest])
    if count < settings.images_per_class:
        raise NotEnoughImagesError(
            f"class {image_set.classes[fewest]!r} of the {image_set.split} split has {count} "
            f"images, fewer than {settings.shots} shots + {settings.queries} queries",
            hint="ask for fewer shots or queries, or add images to the class",
        )


def _draw_distinct(
    rng: np.random.Generator, counts: NDArray[np.int64], draws: int
) -> NDArray[np.int64]:
    """Distinct numbers below each of `counts` (...), in random order: (..., draws).

    Floyd's algorithm for all of `counts` at once; it costs draws^2 whatever the counts are.
    """
    drawn = np.empty((*counts.shape, draws), np.int64)
    for i in range(draws):
        top = counts - draws + i
        number = rng.integers(top + 1)
        repeated = (drawn[..., :i] == number[..., None]).any(axis=-1)
        drawn[..., i] = np.where(repeated, top, number)
    return rng.permuted(drawn, axis=-1)
