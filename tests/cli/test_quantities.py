from contextlib import suppress

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from metanas.cli.quantities import duration_s, image_shape, share


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("0.5s", 0.5), ("007m", 420)]
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "10", "m", "-1s", "10 m", "10M", "1e3s", "0s", "1d", "\u0661s"]
)
def test_what_is_no_duration(text):
    with pytest.raises(typer.BadParameter, match="write 90s, 10m or 2h"):
        duration_s(text)


@pytest.mark.parametrize(
    ("text", "number"), [("1%", 0.01), ("0.01", 0.01), (".5", 0.5), ("2.5%", 0.025), ("99%", 0.99)]
)
def test_shares(text, number):
    assert share(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "%", "0", "1", "0%", "100%", "-1%", "1 %", "nan", "1.", "."])
def test_what_is_no_share(text):
    with pytest.raises(typer.BadParameter, match="write 1% or"):
        share(text)


@pytest.mark.parametrize(("text", "shape"), [("1x28x28", (1, 28, 28)), ("3x84x100", (3, 84, 100))])
def test_image_shapes(text, shape):
    assert image_shape(text) == shape


@pytest.mark.parametrize("text", ["", "28x28", "0x28x28", "3x84x84x1", "3X84X84", "-1x2x3", "1x2x"])
def test_what_is_no_image_shape(text):
    with pytest.raises(typer.BadParameter, match="like 1x28x28"):
        image_shape(text)


@pytest.mark.parametrize("text", ["1x100000x100000", "1x10000x1", f"{9**90}x1x1"])
def test_too_large_images_are_told_the_limit(text):
    with pytest.raises(typer.BadParameter, match="go to 9,999"):
        image_shape(text)
    assert image_shape("1x9999x9999") == (1, 9999, 9999)


@given(st.text(max_size=12))
def test_any_text_is_read_or_refused(text):
    for read in (duration_s, share):
        with suppress(typer.BadParameter):
            assert read(text) > 0
