"""The kernels of a layer program that call register tiles written in assembler."""

from __future__ import annotations

from typing import Any

from tvm.script import tirx as T

from metanas.native.short_vectors import CHANNELS, Tile


def convolve_in_tiles(tile: Tile, chunk: int) -> Any:
    """The same as `metanas.native.kernels.convolve`, for tiles of one channel block.

    Args:
        chunk: input channels to sum before the next row of tiles.
    """
    k, s, px = tile.kernel, tile.stride, tile.pixels
    function = tile.symbol
    float_bytes = 4

    @T.prim_func  # type: ignore[untyped-decorator]
    def kernel(image_: T.handle, weights_: T.handle, bias_: T.handle, sums_: T.handle) -> None:
        T.func_attr({"tirx.noalias": True})
        channels, height, width = T.int32(), T.int32(), T.int32()
        groups, rows, tiles = T.int32(), T.int32(), T.int32()
        image = T.match_buffer(image_, (channels, height, width), "float32")
        weights = T.match_buffer(weights_, (groups, 1, channels, k, k, CHANNELS), "float32")
        bias = T.match_buffer(bias_, (groups, 1, CHANNELS), "float32")
        group_step, block_step, row_step = T.int32(), T.int32(), T.int32()
        sums = T.match_buffer(
            sums_,
            (groups, 1, rows, tiles, px, CHANNELS),
            "float32",
            strides=(group_step, block_step, row_step, px * CHANNELS, CHANNELS, 1),
        )

        @T.inline  # type: ignore[untyped-decorator]
        def sum_rows(image: Any, weights: Any, sums: Any, start: Any, g: Any, b: Any) -> None:
            T.evaluate(
                T.call_extern(
                    "int32",
                    function,
                    T.address_of(sums[g, 0, 0, 0, 0, 0]),
                    T.address_of(image[b * chunk, 0, 0]),
                    T.address_of(weights[g, 0, b * chunk, 0, 0, 0]),
                    start,
                    T.min(chunk, channels - b * chunk),
                    height * width * float_bytes,
                    width * float_bytes,
                    tiles,
                    rows,
                    (row_step - tiles * px * CHANNELS) * float_bytes,
                    (width - tiles * px) * s * float_bytes,
                )
            )

        for g, b in T.grid(groups, T.ceildiv(channels, chunk)):
            if b == 0:
                sum_rows(image, weights, sums, T.address_of(bias[g, 0, 0]), g, b)
            else:
                sum_rows(image, weights, sums, T.address_of(sums[g, 0, 0, 0, 0, 0]), g, b)

    return kernel
