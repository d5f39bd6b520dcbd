"""Sums of a network's convolution, given over to register tiles in assembler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tvm import s_tir, sym, tirx

from metanas.native.short_vectors import CHANNELS, MOST_PIXELS, Tile

_FLOAT_BYTES = 4


def call_tiles(plan: Any, sums: Any, first_loop: Any) -> bool:
    """Replace the loops of a stage, from `first_loop` on, by one call that sums a row of tiles.

    Args:
        sums: the stage, in the loops [..., tile, y, x, i, channel, dy, dx] of a convolution.
        first_loop: `tile`, of whatever extent.

    Returns:
        Whether it was done. It is not where a tile has several rows, the window is not square, or
        the image is not read at even distances; then nothing has changed.
    """
    trial = plan.copy()
    stage, tiles = plan.get(sums), int(plan.get(first_loop).extent)
    if _call(stage, trial.get(trial.blockize(first_loop)), tiles) is None:
        return False
    outer = plan.blockize(first_loop)
    block = plan.get(outer)
    call = _call(stage, block, tiles)
    # Else TVM takes the first values, whose addresses are passed, for all that is read and written.
    whole = {
        "explicit_read_region": list(range(len(block.reads))),
        "explicit_write_region": list(range(len(block.writes))),
    }
    called = s_tir.SBlock(
        block.iter_vars, block.reads, block.writes, block.name_hint, call, annotations=whole
    )
    plan.state.replace(plan.get_sref(outer), called, {block: called})
    return True


def _call(stage: Any, block: Any, tiles: int) -> Any | None:
    *_, b, y, x, i, channel, dy, dx = stage.iter_vars
    pixels, channels, kernel = (int(axis.dom.extent) for axis in (x, channel, dy))
    product = stage.body.value.b
    image, weights = product.a, product.b
    if not isinstance(image, type(weights)):  # something is computed on the way
        return None
    image_steps = _steps(image, (b, x, channel, dy, dx))
    weight_steps = _steps(weights, (channel, dy, dx, i))
    if image_steps is None or weight_steps is None or int(y.dom.extent) != 1:
        return None
    tile_step, pixel_step, plane, row, column = image_steps
    stride = tile_step // pixels if tiles > 1 else max(pixel_step, 1)
    tile = Tile(kernel, stride, pixels)
    even = (
        (dx, column, 1),
        (x, pixel_step, stride),
        *zip((channel, dy, dx, i), weight_steps, tile.weight_steps, strict=True),
    )
    columns = (tiles - 1) * pixels * stride + tile.columns
    boxes = (
        _start(block.writes, stage.body.buffer, (tiles, 1, pixels, CHANNELS)),
        _start(block.reads, image.source, (channels, kernel, columns)),
        _start(block.reads, weights.source, (channels, kernel, kernel, CHANNELS)),
    )
    if (
        None in boxes
        or int(dx.dom.extent) != kernel
        or pixels > MOST_PIXELS
        or any(step != wanted for axis, step, wanted in even if int(axis.dom.extent) > 1)
    ):
        return None
    nowhere = tirx.reinterpret("handle", tirx.const(0, "uint64"))
    sizes = (channels, plane * _FLOAT_BYTES, row * _FLOAT_BYTES, tiles, 1, 0, 0)
    return tirx.Evaluate(
        tirx.call_extern(
            "int32",
            tile.symbol,
            *map(tirx.address_of, boxes),
            nowhere,
            *(tirx.const(size, "int32") for size in sizes),
        )
    )


def _steps(load: Any, axes: Sequence[Any]) -> tuple[int, ...] | None:
    """How far a step of each axis moves in a tensor; None where that is not always the same."""
    at: Any = 0
    for index, extent in zip(load.indices, load.source.shape, strict=True):
        at = at * extent + index
    variables = [axis.var for axis in axes]
    analyzer = sym.Analyzer()
    for axis in axes:
        analyzer.bind(axis.var, axis.dom)
    found = sym.detect_linear_equation(analyzer.simplify(at), variables)
    if not found:
        return None
    steps = [analyzer.simplify(step) for step in found[:-1]]
    if not all(isinstance(step, tirx.IntImm) for step in steps):
        return None
    return tuple(map(int, steps))


def _start(regions: Any, source: Any, extents: Sequence[int]) -> Any | None:
    """The first value of a tensor's region; None where its last sides are not as expected."""
    for region in regions:
        if region.source.same_as(source):
            sides = [getattr(side.extent, "value", None) for side in region.region]
            if sides != [*[1] * (len(sides) - len(extents)), *extents]:
                return None
            return tirx.BufferLoad(source, [side.min for side in region.region])
    return None
