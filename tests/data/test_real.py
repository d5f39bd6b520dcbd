"""The public data sets themselves, where METANAS_DATA says that they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from metanas.data import EpisodeSampler, EpisodeSettings, load

ROOT = os.environ.get("METANAS_DATA")
needs_data = pytest.mark.skipif(
    ROOT is None, reason="METANAS_DATA does not say where omniglot and mini_imagenet are"
)


@pytest.fixture(autouse=True)
def remove_the_cache(cache: Path) -> Iterator[None]:
    """A gigabyte is not left for pytest to keep."""
    yield
    shutil.rmtree(cache, ignore_errors=True)


def _root(folder: str) -> Path:
    root = Path(ROOT or "")
    if not (root / folder).is_dir():
        pytest.skip(f"METANAS_DATA has no folder {folder}")
    return root


@needs_data
def test_omniglot() -> None:
    data = load("omniglot", data_root=_root("omniglot"))
    assert [len(each.classes) for each in (data.train, data.val, data.test)] == [1028, 172, 423]
    assert all((each.counts == 20).all() for each in (data.train, data.val, data.test))
    assert data.mean[0] == pytest.approx(0.082, abs=0.01), "white strokes on black"
    batch = EpisodeSampler(data.train, EpisodeSettings(20, 1, 15), seed=0).batch(0, 4)
    assert batch.query_images.shape == (4, 300, 1, 28, 28)
    images = data.test.images.reshape(423, 20, -1).astype(np.float32)
    means = images[:100, :10].mean(axis=1)
    distances = ((images[:100, 10:, None] - means) ** 2).sum(axis=-1)
    assert (distances.argmin(axis=-1) == np.arange(100)[:, None]).mean() > 0.1


@needs_data
def test_mini_imagenet() -> None:
    data = load("mini-imagenet", data_root=_root("mini_imagenet"))
    sets = (data.train, data.val, data.test)
    assert [each.class_count for each in sets] == [64, 16, 20]
    assert all((each.counts == 600).all() for each in sets)
    assert len({name for each in sets for name in each.classes}) == 100
    assert data.mean == pytest.approx((0.47, 0.45, 0.41), abs=0.01)
    assert data.std == pytest.approx((0.27, 0.265, 0.28), abs=0.01)
    batch = EpisodeSampler(data.val, EpisodeSettings(5, 5, 15), seed=0).batch(0, 2)
    assert batch.support_images.shape == (2, 25, 3, 84, 84)
