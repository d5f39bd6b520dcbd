from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metanas.data import DataSet, Episodes, EpisodeSampler, EpisodeSettings, ImageSet
from metanas.errors import InvalidEpisodeError, NotEnoughImagesError

MakeSet = Callable[..., ImageSet]
relaxed = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _bytes(images: torch.Tensor) -> NDArray[np.int64]:
    """Undo the normalisation of `numbered` sets."""
    return np.rint((images.numpy() * 0.5 + 0.25) * 255).astype(np.int64)


def _same(first: Episodes, second: Episodes) -> bool:
    return (
        torch.equal(first.support_images, second.support_images)
        and torch.equal(first.query_images, second.query_images)
        and np.array_equal(first.classes, second.classes)
    )


@relaxed
@given(data=st.data())
def test_tasks_are_what_the_settings_say(numbered: MakeSet, data: st.DataObject) -> None:
    ways = data.draw(st.integers(2, 5))
    shots = data.draw(st.integers(1, 4))
    queries = data.draw(st.integers(1, 4))
    turns = data.draw(st.integers(1, 4))
    least = shots + queries
    counts = data.draw(st.lists(st.integers(least, least + 5), min_size=ways, max_size=9))
    tasks = data.draw(st.integers(1, 4))
    index = data.draw(st.integers(0, 10**9))
    image_set = numbered(counts, quarter_turns=turns)

    sampler = EpisodeSampler(image_set, EpisodeSettings(ways, shots, queries), seed=3)
    batch = sampler.batch(index, tasks)

    assert batch.support_images.shape == (tasks, ways * shots, 1, 4, 4)
    assert batch.query_images.shape == (tasks, ways * queries, 1, 4, 4)
    assert batch.support_images.dtype == torch.float32
    assert batch.support_labels.dtype == batch.query_labels.dtype == torch.int64
    assert len(batch) == tasks
    support, query = _bytes(batch.support_images), _bytes(batch.query_images)
    for task in range(tasks):
        classes = batch.classes[task]
        assert len(set(classes.tolist())) == ways
        for label, class_index in enumerate(classes):
            base, quarter = divmod(int(class_index), turns)
            mine = np.concatenate(
                [
                    support[task][batch.support_labels[task] == label],
                    query[task][batch.query_labels[task] == label],
                ]
            )
            assert len(mine) == shots + queries
            upright = np.rot90(mine, -quarter, axes=(-2, -1))
            assert set(upright[:, 0, 0, 0]) == {base + 1}
            drawn = upright[:, 0, 0, 1]
            assert len(set(drawn)) == shots + queries, "an image came twice"
            assert drawn.min() >= 1
            assert drawn.max() <= counts[base]


@relaxed
@given(seed=st.integers(0, 2**40), index=st.integers(0, 2**40), rank=st.integers(0, 99))
def test_a_batch_is_a_pure_function(numbered: MakeSet, seed: int, index: int, rank: int) -> None:
    image_set, task = numbered([9] * 12), EpisodeSettings(3, 2, 4)
    sampler = EpisodeSampler(image_set, task, seed)
    batch = sampler.batch(index, 4, rank=rank)
    sampler.batch(index + 1, 2)
    assert _same(batch, sampler.batch(index, 4, rank=rank))
    assert _same(batch, EpisodeSampler(image_set, task, seed).batch(index, 4, rank=rank))


@pytest.mark.parametrize("change", ["seed", "index", "rank", "split"])
def test_other_seeds_indices_ranks_and_splits_draw_differently(
    numbered: MakeSet, change: str
) -> None:
    def batch(seed: int = 0, index: int = 0, rank: int = 0, split: str = "train") -> Episodes:
        sampler = EpisodeSampler(numbered([9] * 12, split=split), EpisodeSettings(5, 1, 5), seed)
        return sampler.batch(index, 8, rank=rank)

    changed = batch(split="val") if change == "split" else batch(**{change: 1})
    assert not np.array_equal(batch().classes, changed.classes)


def test_classes_and_images_are_drawn_evenly(numbered: MakeSet) -> None:
    sampler = EpisodeSampler(numbered([6, 3, 4, 5, 3, 8]), EpisodeSettings(2, 1, 2), seed=0)
    batch = sampler.batch(0, 6000)
    first_ways = Counter(batch.classes[:, 0].tolist())
    assert set(first_ways) == set(range(6))
    assert max(abs(count - 1000) for count in first_ways.values()) < 150
    support = _bytes(batch.support_images)
    of_first = support[support[:, :, 0, 0, 0] == 1][:, 0, 0, 1]
    shares = np.bincount(of_first, minlength=7)[1:] / len(of_first)
    assert np.abs(shares - 1 / 6).max() < 0.04


def test_all_classes_and_images_can_be_used_at_once(numbered: MakeSet) -> None:
    batch = EpisodeSampler(numbered([5, 5, 5]), EpisodeSettings(3, 2, 3), seed=1).batch(7, 20)
    assert (np.sort(batch.classes, axis=1) == np.arange(3)).all()


def test_images_are_normalised_by_the_training_split(glyphs: DataSet) -> None:
    sampler = EpisodeSampler(glyphs.test, EpisodeSettings(5, 1, 4), seed=0)
    batch = sampler.batch(0, 2)
    class_index = int(batch.classes[1, 3])
    expected = (glyphs.test.images_of(class_index) / 255 - glyphs.mean[0]) / glyphs.std[0]
    support = batch.support_images[1, 3].numpy()
    distances = np.abs(expected - support).max(axis=(1, 2, 3))
    assert distances.min() < 1e-5
    assert np.count_nonzero(distances < 1e-5) == 1


def test_too_few_classes(numbered: MakeSet) -> None:
    with pytest.raises(NotEnoughImagesError, match="train split has 3 classes, fewer than 5 ways"):
        EpisodeSampler(numbered([9] * 3), EpisodeSettings(5, 1, 1), seed=0)


def test_turned_classes_count_as_classes(numbered: MakeSet) -> None:
    EpisodeSampler(numbered([9] * 3, quarter_turns=2), EpisodeSettings(5, 1, 1), seed=0)


def test_too_few_images_names_the_class(numbered: MakeSet) -> None:
    with pytest.raises(NotEnoughImagesError, match=r"'c1' .* has 4 images, .* 1 shots \+ 4 quer"):
        EpisodeSampler(numbered([9, 4, 5]), EpisodeSettings(2, 1, 4), seed=0)


@pytest.mark.parametrize("numbers", [(1, 1, 1), (5, 0, 1), (5, 1, 0), (-5, 1, 1)])
def test_senseless_settings(numbers: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidEpisodeError, match="cannot be learned"):
        EpisodeSettings(*numbers)


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_parts_are_the_batch_in_order(glyphs: DataSet, size: int) -> None:
    sampler = EpisodeSampler(glyphs.train, EpisodeSettings(ways=3, shots=2, queries=1), seed=4)
    batch = sampler.batch(0, 5)
    parts = list(batch.parts(size))
    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert 1 <= len(parts[-1]) <= size
    for name in ("support_images", "support_labels", "query_images", "query_labels"):
        joined = torch.cat([getattr(part, name) for part in parts])
        assert torch.equal(joined, getattr(batch, name))
    assert np.array_equal(np.concatenate([part.classes for part in parts]), batch.classes)


@pytest.mark.parametrize(
    "device",
    [
        "meta",  # has shapes only, but refuses what lies on the CPU
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
        ),
    ],
)
def test_an_accelerator_gets_the_same_batches(numbered: MakeSet, device: str) -> None:
    turned = numbered([3, 4, 5]).turned(4)
    sampler = EpisodeSampler(turned, EpisodeSettings(4, 1, 2), seed=1)
    for index in range(3):
        here, there = sampler.batch(index, 5), sampler.batch(index, 5, device=device)
        for name in ("support_images", "support_labels", "query_images", "query_labels"):
            tensor = getattr(there, name)
            assert tensor.device.type == device
            assert tensor.shape == getattr(here, name).shape
            if device != "meta":
                assert torch.equal(tensor.cpu(), getattr(here, name))
        assert np.array_equal(here.classes, there.classes)
