"""The kernels of a layer program, written as TVM functions whose sizes are symbols.

A kernel is fixed by what its innermost loops unroll (window, stride, register tile); channels,
rows and columns are read from the tensors, so that a few dozen kernels serve every layer.

Feature maps between kernels are in blocks of MR channels, `[block][row][column][MR]`, so that the
channels of a block lie side by side in a vector register:

    convolve   padded image (NCHW), packed weights -> sums with bias, blocked
    finish     max-pooling, then the activation; blocked -> blocked, or plain without vectors

All other maps and a head's features are plain:

    activate_all   an activation by itself
    classify       the linear layer
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any

from tvm import tirx
from tvm.script import tirx as T

from metanas.native.activations import activate, largest_of
from metanas.native.short_vectors import Tile
from metanas.native.targets import Target
from metanas.native.tile_kernels import convolve_in_tiles

LINEAR_VECTORS = 4
"""Vectors of features that `classify` sums side by side."""

_POINTWISE_BLOCK = 128
_UNROLLED_ROWS = 3


@dataclass(frozen=True, slots=True)
class ConvolveVariant:
    """What a convolution kernel is made for.

    Args:
        kernel: side of the square window.
        stride: of the window.
        blocks: channel blocks of a register tile.
        pixels: neighbours in a row of a register tile.
    """

    kernel: int
    stride: int
    blocks: int
    pixels: int

    @property
    def symbol(self) -> str:
        """The kernel's name."""
        return f"convolve_k{self.kernel}s{self.stride}b{self.blocks}p{self.pixels}"


def convolve(variant: ConvolveVariant, target: Target) -> Any:
    """The sums of a convolution: for each tile, all of its window and a block of input channels.

    Shapes: image (I, H, W) with its border; weights (G, blocks, I, k, k, MR); bias
    (G, blocks, MR); sums (G, blocks, rows, tiles, pixels, MR), where G × blocks are the output's
    channel blocks. Tiles of other widths may stand beside these in the rows of the sums.
    """
    k, s, tile, px = variant.kernel, variant.stride, variant.blocks, variant.pixels
    mr = target.channel_block
    # Sums wait in memory between blocks of input channels; within one, the weights of a tile and
    # the rows it reads stay in the first cache.
    chunk = target.input_block if k > 1 else _POINTWISE_BLOCK
    if target.short_vectors:
        return convolve_in_tiles(Tile(k, s, px), chunk)
    # LLVM unrolls short loops by itself; a compiler of C would have to be told for each.
    window_rows = T.unroll if target.generates_c and k <= _UNROLLED_ROWS else T.serial
    lanes = _lanes(target)
    scope = _scope(target)

    @T.prim_func  # type: ignore[untyped-decorator]
    def kernel(  # noqa: PLR0912 - loops
        image_: T.handle, weights_: T.handle, bias_: T.handle, sums_: T.handle
    ) -> None:
        T.func_attr({"tirx.noalias": True})
        channels, height, width = T.int32(), T.int32(), T.int32()
        groups, rows, tiles = T.int32(), T.int32(), T.int32()
        image = T.match_buffer(image_, (channels, height, width), "float32")
        weights = T.match_buffer(weights_, (groups, tile, channels, k, k, mr), "float32")
        bias = T.match_buffer(bias_, (groups, tile, mr), "float32")
        group_step, block_step, row_step = T.int32(), T.int32(), T.int32()
        sums = T.match_buffer(
            sums_,
            (groups, tile, rows, tiles, px, mr),
            "float32",
            strides=(group_step, block_step, row_step, px * mr, mr, 1),
        )
        for g, b, y, t in T.grid(groups, T.ceildiv(channels, chunk), rows, tiles):
            held = T.alloc_buffer((tile, px, mr), "float32", scope=scope)
            if b == 0:
                for m in T.unroll(tile):
                    for j in T.unroll(px):
                        for i in lanes(mr):
                            held[m, j, i] = bias[g, m, i]
            else:
                for m in T.unroll(tile):
                    for j in T.unroll(px):
                        for i in lanes(mr):
                            held[m, j, i] = sums[g, m, y, t, j, i]
            for c in T.serial(T.min(chunk, channels - b * chunk)):
                for dy in window_rows(k):
                    for dx in T.unroll(k):
                        for j in T.unroll(px):
                            for m in T.unroll(tile):
                                for i in lanes(mr):
                                    held[m, j, i] = (
                                        held[m, j, i]
                                        + weights[g, m, b * chunk + c, dy, dx, i]
                                        * image[b * chunk + c, y * s + dy, (t * px + j) * s + dx]
                                    )
            for m in T.unroll(tile):
                for j in T.unroll(px):
                    for i in lanes(mr):
                        sums[g, m, y, t, j, i] = held[m, j, i]

    return kernel


def finish(activation: str, pool: int, target: Target) -> Any:
    """Max-pooling (ceil), then the activation: the same as the other way round, as activations
    never fall, on fewer values.

    Shapes: sums (B, rows × pitch or more, MR), of which `columns` of each row of `pitch` count;
    result (B, pooled rows, pooled columns, MR), which without vectors is plain in memory, one
    channel after the other. Windows at the edge are clamped to the map.

    Args:
        pool: side and stride of the window; 0 is any, read from the argument `window`.
    """
    mr = target.channel_block
    lanes = _lanes(target)
    scope = _scope(target)
    pixel_step, lane_step = (mr, 1) if target.lanes > 1 else (1, tirx.Var("plane", "int32"))

    def largest(
        sums: Any, b: Any, y: Any, x: Any, i: Any, last_row: Any, last_column: Any, pitch: Any
    ) -> Any:
        # One expression, and not a running maximum: where a variable changes between two uses,
        # TVM's C remembers its first value.
        rows = [y * pool, *(tirx.min(y * pool + dy, last_row) for dy in range(1, pool))]
        columns = [x * pool + dx for dx in range(pool)]
        if last_column is not None:
            columns = [tirx.min(column, last_column) for column in columns]
        pixels = [sums[b, row * pitch + column, i] for row in rows for column in columns]
        return largest_of(activation, pixels) if target.lanes == 1 else reduce(tirx.max, pixels)

    @T.prim_func  # type: ignore[untyped-decorator]
    def kernel(
        sums_: T.handle,
        result_: T.handle,
        rows: T.int32,
        columns: T.int32,
        pitch: T.int32,
        window: T.int32,
    ) -> None:
        T.func_attr({"tirx.noalias": True})
        blocks, size = T.int32(), T.int32()
        out_rows, out_columns = T.int32(), T.int32()
        sums = T.match_buffer(sums_, (blocks, size, mr), "float32")
        block_step, row_step = T.int32(), T.int32()
        result = T.match_buffer(
            result_,
            (blocks, out_rows, out_columns, mr),
            "float32",
            strides=(block_step, row_step, pixel_step, lane_step),
        )

        @T.inline  # type: ignore[untyped-decorator]
        def pool_and_activate(b: Any, y: Any, x: Any, last_column: Any) -> None:
            best = T.alloc_buffer((mr,), "float32", scope=scope)
            for i in lanes(mr):
                best[i] = largest(sums, b, y, x, i, rows - 1, last_column, pitch)
            for i in lanes(mr):
                result[b, y, x, i] = activate(activation, best[i])

        if pool == 0:
            for b, y, x in T.grid(blocks, out_rows, out_columns):
                best = T.alloc_buffer((mr,), "float32", scope=scope)
                for i in lanes(mr):
                    best[i] = sums[b, y * window * pitch + x * window, i]
                for dy, dx in T.grid(
                    T.min(window, rows - y * window), T.min(window, columns - x * window)
                ):
                    for i in lanes(mr):
                        best[i] = T.max(
                            best[i], sums[b, (y * window + dy) * pitch + x * window + dx, i]
                        )
                for i in lanes(mr):
                    result[b, y, x, i] = activate(activation, best[i])
        else:
            for b, y in T.grid(blocks, out_rows):
                # Clamping costs as much as pooling: whole windows go without.
                for x in T.serial(columns // pool):
                    pool_and_activate(b, y, x, None)
                for x in T.serial(out_columns - columns // pool):
                    pool_and_activate(b, y, columns // pool + x, columns - 1)

    return kernel


def activate_all(activation: str, target: Target) -> Any:
    """An activation by itself. Shapes: values and result (steps, MR)."""
    width = target.channel_block
    lanes = _lanes(target)

    @T.prim_func  # type: ignore[untyped-decorator]
    def kernel(values_: T.handle, result_: T.handle) -> None:
        T.func_attr({"tirx.noalias": True})
        steps = T.int32()
        values = T.match_buffer(values_, (steps, width), "float32")
        result = T.match_buffer(result_, (steps, width), "float32")
        for step in T.serial(steps):
            for i in lanes(width):
                result[step, i] = activate(activation, values[step, i])

    return kernel


def classify(target: Target) -> Any:
    """A linear layer, `LINEAR_VECTORS` vectors of features at a time.

    Shapes: features (F, vectors, lanes), zero behind the last; weights (ways, F, vectors, lanes);
    bias (ways,); logits (ways,).
    """
    width, depth = target.lanes, LINEAR_VECTORS
    lanes = _lanes(target)
    scope = _scope(target)

    @T.prim_func  # type: ignore[untyped-decorator]
    def kernel(features_: T.handle, weights_: T.handle, bias_: T.handle, logits_: T.handle) -> None:
        T.func_attr({"tirx.noalias": True})
        ways, steps = T.int32(), T.int32()
        features = T.match_buffer(features_, (steps, depth, width), "float32")
        weights = T.match_buffer(weights_, (ways, steps, depth, width), "float32")
        bias = T.match_buffer(bias_, (ways,), "float32")
        logits = T.match_buffer(logits_, (ways,), "float32")
        for way in T.serial(ways):
            held = T.alloc_buffer((depth, width), "float32", scope=scope)
            for u in T.unroll(depth):
                for i in lanes(width):
                    held[u, i] = T.float32(0)
            for step in T.serial(steps):
                for u in T.unroll(depth):
                    for i in lanes(width):
                        held[u, i] = held[u, i] + features[step, u, i] * weights[way, step, u, i]
            logits[way] = bias[way]
            for u in T.unroll(depth):
                for i in T.unroll(width):
                    logits[way] = logits[way] + held[u, i]

    return kernel


def _lanes(target: Target) -> Any:
    """How to walk the values of one vector register."""
    return T.vectorized if target.lanes > 1 else T.unroll


def _scope(target: Target) -> str:
    """Where sums are held: C has no registers to ask for, and its compiler finds them by itself."""
    return "global" if target.generates_c else "local"
