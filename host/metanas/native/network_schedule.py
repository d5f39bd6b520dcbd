"""How the loops of a network's kernels are arranged.

A convolution (see `network_convolution`) becomes:

    for m                                      tiles of output channels
      for a, for b                             tiles of the map
        sums[y][x][i] = 0                      in registers
        for channel, window row
          for window column, y, x, i           unrolled; i vectorised where there are vectors
            sums[y][x][i] += padded[...] * weights[...]
        for y, x, i: write the fused epilogue  alike

Input channels are walked in blocks, outside the tiles of the map, so that a block's weights and the
rows that it reads stay in the first cache. The sums of a map wait in memory from block to block,
which costs one addition for each block and output element.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import tvm

from metanas.native.network_convolution import ACCUMULATE, PADDED
from metanas.native.network_tiles import call_tiles
from metanas.native.targets import Target

_SMALLEST_BLOCK = 8
"""Input channels; smaller blocks cost more additions than the cache saves."""

_SPATIAL = 0  # TVM's IterVar kind of a loop without dependences


def schedule_kernel(kernel: Any, target: Target) -> Any:
    """Arrange one kernel: elementwise stages are inlined, convolutions tiled, the rest left."""
    plan = tvm.s_tir.Schedule(kernel)
    *inner, last = plan.get_child_blocks(plan.get_sblock("root"))
    names = [plan.get(block).name_hint for block in inner]
    is_convolution = ACCUMULATE in names
    for block, name in zip(inner, names, strict=True):
        if _is_elementwise(plan, block) and not (is_convolution and name == PADDED):
            with suppress(tvm.s_tir.ScheduleError):  # what cannot be inlined is right as it is
                plan.compute_inline(block)
    if is_convolution:
        return _tiled(plan, plan.get(last).name_hint, target)
    return plan.mod["main"]


def _is_elementwise(plan: Any, block: Any) -> bool:
    return all(int(axis.iter_type) == _SPATIAL for axis in plan.get(block).iter_vars)


def _tiled(plan: Any, output_name: str, target: Target) -> Any:
    if _is_one_row(plan, output_name):
        plan = _with_flat_output(plan, output_name)
    sums, output = plan.get_sblock(ACCUMULATE), plan.get_sblock(output_name)
    _, _, _, height, width, _, channels, *window = _extents(plan, sums)
    _, c, *rows, columns = plan.get_loops(output)
    m, i = plan.split(c, [None, target.channel_block])
    b, x = plan.split(columns, [None, width])
    if rows:
        a, y = plan.split(rows[0], [None, height])
        plan.reorder(m, a, b, y, x, i)
        place = a if target.short_vectors else b
    else:
        y = plan.add_unit_loop(b)
        plan.reorder(m, b, y, x, i)
        place = b
    _unroll_tile(plan, y, x, i, target)
    blocks = _channel_blocks(target, channels, window)
    if blocks > 1:
        sums = _blocked(plan, sums, m, blocks, target)
    else:
        plan.compute_at(sums, place, preserve_unit_loops=True)
    _fill_registers(plan, sums, target)
    return plan.mod["main"]


def _channel_blocks(target: Target, channels: int, window: Sequence[int]) -> int:
    """Equal blocks of input channels to walk one after the other; 1 is no blocking.

    A 1x1 window reads each pixel once for a tile of channels: there is nothing to keep in a cache.
    """
    if math.prod(window) == 1:
        return 1
    largest = max(size for size in range(1, target.input_block + 1) if channels % size == 0)
    return channels // largest if largest >= _SMALLEST_BLOCK else 1


def _blocked(plan: Any, sums: Any, m: Any, blocks: int, target: Target) -> Any:
    """Split the sums by blocks of input channels; give the stage that sums one block."""
    channel = plan.get_loops(sums)[6]
    block, _ = plan.split(channel, [blocks, None])
    partial = plan.rfactor(block, 0)
    plan.compute_at(sums, m, preserve_unit_loops=True)
    *_, block, _, a, b, y, x, i = plan.get_loops(sums)
    plan.compute_at(partial, a if target.short_vectors else b, preserve_unit_loops=True)
    _unroll_tile(plan, y, x, i, target)
    plan.decompose_reduction(sums, block)
    return partial


def _fill_registers(plan: Any, sums: Any, target: Target) -> None:
    """Keep a tile's sums in registers while channels and window are walked."""
    if not target.generates_c:  # C has none to ask for: its compiler finds them
        plan.set_scope(sums, 0, "local")
    *_, b, y, x, i, channel, dy, dx = plan.get_loops(sums)
    if target.short_vectors and call_tiles(plan, sums, b):
        return
    plan.reorder(channel, dy, dx, y, x, i)
    _unroll_tile(plan, y, x, i, target)
    if int(plan.get(dx).extent) > 1:
        plan.unroll(dx)
    plan.decompose_reduction(sums, channel)


def _unroll_tile(plan: Any, y: Any, x: Any, i: Any, target: Target) -> None:
    plan.unroll(y)
    plan.unroll(x)
    (plan.vectorize if target.lanes > 1 else plan.unroll)(i)


def _extents(plan: Any, block: Any) -> list[int]:
    return [int(plan.get(loop).extent) for loop in plan.get_loops(block)]


def _is_one_row(plan: Any, output_name: str) -> bool:
    """Whether the sums see a map of several rows as one."""
    _, tiles, _, height, *_ = _extents(plan, plan.get_sblock(ACCUMULATE))
    return tiles * height < _extents(plan, plan.get_sblock(output_name))[2]


def _with_flat_output(plan: Any, output_name: str) -> Any:
    """Walk the output's pixels by one loop too; simplified, or TVM cannot match it to the sums'."""
    output = plan.get_sblock(output_name)
    columns = _extents(plan, output)[3]
    plan.transform_block_layout(output, lambda n, c, y, x: (n, c, y * columns + x))
    return tvm.s_tir.Schedule(tvm.s_tir.transform.StmtSimplify()(plan.mod))
