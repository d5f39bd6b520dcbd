"""Where tensors lie: no two that are needed at one time share a byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from metanas.native.network_arena import ALIGNMENT_BYTES, Lifetime, lifetimes, plan_arena
from metanas.native.network_program import KernelCall, NetworkProgram, Tensor

LIFETIMES = st.builds(
    lambda first, length, size_bytes: Lifetime(first, first + length, size_bytes),
    st.integers(-1, 12),
    st.integers(0, 6),
    st.integers(0, 1000),
)


def chain(length, floats=64):
    """A program whose calls each read the last one's output."""
    tensors = tuple(Tensor((floats,), "float32") for _ in range(length + 1))
    calls = tuple(KernelCall("kernel", (i,), (i + 1,)) for i in range(length))
    return NetworkProgram(tensors, calls, input=0, output=length)


@given(st.lists(LIFETIMES, max_size=20))
def test_tensors_that_live_together_lie_apart(needs):
    arena = plan_arena(needs)
    regions = [
        (offset, offset + need.size_bytes)
        for offset, need in zip(arena.offsets, needs, strict=True)
    ]
    for i, (start, end) in enumerate(regions):
        assert start % ALIGNMENT_BYTES == 0
        assert end <= arena.size_bytes
        for j, (other_start, other_end) in enumerate(regions[:i]):
            if needs[i].overlaps(needs[j]):
                assert end <= other_start or other_end <= start


@given(st.lists(LIFETIMES, max_size=20))
def test_arena_holds_what_lives_at_once_and_at_most_everything(needs):
    arena = plan_arena(needs)
    for time in range(-1, 20):
        alive = [need for need in needs if need.first <= time <= need.last]
        assert arena.size_bytes >= sum(need.size_bytes for need in alive)
    rounded = [-(-need.size_bytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES for need in needs]
    assert arena.size_bytes <= sum(rounded)


def test_long_chain_needs_the_input_and_two_tensors():
    program = chain(10)
    arena = plan_arena(list(lifetimes(program).values()))
    assert arena.size_bytes == 3 * 64 * 4


def test_input_and_output_outlive_all_calls():
    program = chain(4)
    needs = lifetimes(program)
    assert (needs[0].first, needs[0].last) == (-1, 4)
    assert (needs[4].first, needs[4].last) == (3, 4)
    assert (needs[1].first, needs[1].last) == (0, 1)


def test_output_that_nobody_reads_still_has_a_place():
    tensors = tuple(Tensor((16,), "float32") for _ in range(3))
    program = NetworkProgram(tensors, (KernelCall("split", (0,), (1, 2)),), input=0, output=1)
    needs = lifetimes(program)
    assert needs[2].first == needs[2].last == 0
    assert needs[1].overlaps(needs[2])


def test_constants_have_no_place():
    import numpy as np

    constant = Tensor((16,), "float32", np.zeros(16, np.float32))
    tensors = (Tensor((16,), "float32"), constant, Tensor((16,), "float32"))
    program = NetworkProgram(tensors, (KernelCall("add", (0, 1), (2,)),), input=0, output=2)
    assert set(lifetimes(program)) == {0, 2}
