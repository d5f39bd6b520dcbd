from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metanas.data import DataSet, load, recipe
from metanas.data import glyphs as module
from metanas.data.recipe import SPLITS
from metanas.errors import DataNotFoundError


def test_several_hundred_classes_of_twenty_drawings(glyphs: DataSet) -> None:
    sets = [glyphs.train, glyphs.val, glyphs.test]
    total = sum(each.class_count for each in sets)
    assert total >= 400
    assert [round(each.class_count / total, 2) for each in sets] == [0.64, 0.16, 0.20]
    assert all((each.counts == 20).all() for each in sets)
    assert glyphs.shape == (1, 28, 28)


def test_no_class_is_in_two_splits(glyphs: DataSet) -> None:
    names = [*glyphs.train.classes, *glyphs.val.classes, *glyphs.test.classes]
    assert len(names) == len(set(names))


def test_several_scripts(glyphs: DataSet) -> None:
    scripts = {name.split()[0] for name in glyphs.train.classes}
    assert scripts >= {"LATIN", "GREEK", "CYRILLIC", "ARMENIAN", "GEORGIAN", "DIGIT"}


def test_look_alikes_are_one_class(glyphs: DataSet) -> None:
    names = {*glyphs.train.classes, *glyphs.val.classes, *glyphs.test.classes}
    assert "LATIN CAPITAL LETTER A" in names
    assert "LATIN CAPITAL LETTER C" in names
    for alike in (
        "GREEK CAPITAL LETTER ALPHA",
        "CYRILLIC CAPITAL LETTER A",
        "LATIN SMALL LETTER C",
        "LATIN SMALL LETTER O",
    ):
        assert alike not in names


def test_every_drawing_is_white_on_black_and_inside(glyphs: DataSet) -> None:
    for image_set in (glyphs.train, glyphs.val, glyphs.test):
        images = image_set.images
        assert (images.reshape(len(images), -1).max(axis=1) > 100).all()
        assert images.mean() < 80
        frame = np.ones(images.shape[2:], bool)
        frame[1:-1, 1:-1] = False
        assert (images[:, 0, frame] > 64).mean() < 0.001


def test_no_two_drawings_are_the_same(glyphs: DataSet) -> None:
    drawings = [drawing.tobytes() for name in SPLITS for drawing in glyphs.split(name).images]
    assert len(set(drawings)) == len(drawings)


def test_every_class_is_drawn_thin_and_bold(glyphs: DataSet) -> None:
    """A warp alone spreads a class's ink by 12% of its mean; bold styles double that."""
    ink = glyphs.train.images.mean(axis=(1, 2, 3)).reshape(-1, 20)
    assert (ink.std(axis=1) / ink.mean(axis=1)).mean() > 0.2


def test_drawings_resemble_their_own_class_most(glyphs: DataSet) -> None:
    """The nearest mean of pixels is right far oftener than by chance (1%), but not always."""
    images = glyphs.test.images.reshape(-1, 20, 784).astype(np.float64)
    means = images[:, :10].mean(axis=1)
    others = images[:, 10:].reshape(-1, 784)
    distances = ((others[:, None] - means[None]) ** 2).sum(axis=-1)
    right = distances.argmin(axis=1) == np.repeat(np.arange(len(means)), 10)
    assert 0.3 < right.mean() < 0.9


def test_the_same_seed_gives_the_same_bytes(
    glyphs: DataSet, small_glyphs: Callable[[int], DataSet]
) -> None:
    first, again, other = small_glyphs(0), small_glyphs(0), small_glyphs(1)
    assert np.array_equal(first.train.images, again.train.images)
    assert first.train.classes == other.train.classes
    assert not np.array_equal(first.train.images, other.train.images)
    name = first.train.classes[0]
    (whole,) = (glyphs.split(split) for split in SPLITS if name in glyphs.split(split).classes)
    drawings = whole.images_of(whole.classes.index(name))
    assert np.array_equal(drawings, first.train.images_of(0)), "other classes have no part in it"


@pytest.fixture
def small_glyphs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], DataSet]:
    """Renders the capital letters only, in a new cache each time."""
    made = iter(range(10))
    monkeypatch.setattr(module, "_candidates", lambda paths: list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))

    def render(seed: int) -> DataSet:
        monkeypatch.setenv("METANAS_CACHE", str(tmp_path / f"glyphs{next(made)}"))
        return load("glyphs", seed=seed)

    return render


def test_missing_fonts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.mpl, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(DataNotFoundError, match=r"DejaVuSans\.ttf is missing"):
        load("glyphs")


def test_a_new_format_version_renders_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    request = recipe.Request(
        data_root=Path(),
        may_download=False,
        seed=0,
        image_size=None,
        grey=False,
        progress=lambda *_: None,
    )
    before = module.recipe(request).fingerprint
    assert module.recipe(request).fingerprint == before
    monkeypatch.setattr(recipe, "FORMAT_VERSION", -1)
    assert module.recipe(request).fingerprint != before
