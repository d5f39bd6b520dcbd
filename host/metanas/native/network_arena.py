"""Where a network's tensors lie: one static block of memory, shared by tensors in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metanas.native.network_program import NetworkProgram

ALIGNMENT_BYTES = 64
"""What TVM's kernels may assume of a tensor; a cache line of most processors."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From the call that writes a tensor to the last that reads it, both included."""

    first: int
    last: int
    size_bytes: int

    def overlaps(self, other: Lifetime) -> bool:
        """Whether both are needed during some call."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Arena:
    """Offset of each tensor in bytes, and the size of them all."""

    offsets: tuple[int, ...]
    size_bytes: int


def lifetimes(program: NetworkProgram) -> dict[int, Lifetime]:
    """When each tensor that is computed is needed, by its index.

    The input lives from before the first call to behind the last: the network runs many times on
    one input. The output lives until it is read, behind the last call.
    """
    end = len(program.calls)
    first = {program.input: -1}
    last = {program.input: end}
    for position, call in enumerate(program.calls):
        first.update(dict.fromkeys(call.outputs, position))
        last.update(
            (index, max(position, last.get(index, position)))
            for index in (*call.inputs, *call.outputs)
        )
    last[program.output] = end
    return {
        index: Lifetime(start, last[index], program.tensors[index].size_bytes)
        for index, start in first.items()
    }


def plan_arena(needs: Sequence[Lifetime]) -> Arena:
    """Place tensors so that those that live at one time do not overlap.

    The largest first, each at the lowest offset that is free during its life ("greedy by size",
    Pisarchyk and Lee, Efficient Memory Management for Deep Neural Net Inference, 2020).
    """
    offsets = [0] * len(needs)
    placed: list[int] = []
    for index in sorted(range(len(needs)), key=lambda i: -needs[i].size_bytes):
        neighbours = [other for other in placed if needs[index].overlaps(needs[other])]
        taken = sorted((offsets[other], _aligned(needs[other].size_bytes)) for other in neighbours)
        offsets[index] = _first_gap(taken, _aligned(needs[index].size_bytes))
        placed.append(index)
    ends = [offset + _aligned(need.size_bytes) for offset, need in zip(offsets, needs, strict=True)]
    return Arena(tuple(offsets), max(ends, default=0))


def _first_gap(taken: Sequence[tuple[int, int]], size_bytes: int) -> int:
    """The lowest offset with room between (offset, size) regions, sorted by offset."""
    free = 0
    for offset, size in taken:
        if free + size_bytes <= offset:
            break
        free = max(free, offset + size)
    return free


def _aligned(size_bytes: int) -> int:
    return -(-size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
