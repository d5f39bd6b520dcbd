"""The C text: names that no network can spoil, tables that say what the program holds."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from metanas.native.network_program import KernelCall, NetworkProgram, Tensor
from metanas.native.network_source import (
    kernel_symbols,
    network_source,
    pack_weights,
    weights_assembly,
)

WEIGHTS = np.arange(5, dtype=np.float32)


def program(*kernels):
    """Calls of these kernels one after the other, each on the last one's output and WEIGHTS."""
    tensors = [Tensor((1, 2, 3, 4), "float32")]
    calls = []
    for number, kernel in enumerate(kernels):
        tensors += [Tensor((5,), "float32", WEIGHTS), Tensor((1, 2, 3, 4), "float32")]
        calls.append(KernelCall(kernel, (2 * number, 2 * number + 1), (2 * number + 2,)))
    return NetworkProgram(tuple(tensors), tuple(calls), input=0, output=len(tensors) - 1)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=8, unique=True))
def test_every_kernel_has_a_c_name_of_its_own(names):
    symbols = kernel_symbols(program(*names))
    assert set(symbols) == set(names)
    assert len(set(symbols.values())) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", name) for name in symbols.values())


def test_kernel_that_is_called_twice_is_declared_once():
    twice = program("add", "add")
    source = network_source(twice, kernel_symbols(twice), {1: 0, 3: 64}, title="network x")
    assert source.count("extern int32_t __tvm_ffi_kernel_0_add(") == 1
    assert source.count("{__tvm_ffi_kernel_0_add, arguments_") == 2
    assert "network_call_count = 2;" in source


def test_input_and_output_have_places_of_their_own():
    one = program("add")
    source = network_source(one, kernel_symbols(one), {1: 0}, title="network x 2 3 4 24")
    places = re.findall(r"network_(input|output) = \(float \*\)\(arena \+ (\d+)\)", source)
    assert dict(places).keys() == {"input", "output"}
    assert len({offset for _, offset in places}) == 2
    assert "network_input_count = 24;" in source
    assert 'network_title[] = "network x 2 3 4 24";' in source


def test_scalar_and_integer_tensors_are_described_as_dlpack_does():
    tensors = (
        Tensor((1, 1, 1, 1), "float32"),
        Tensor((), "float32", np.array(6, np.float32)),
        Tensor((2,), "int64", np.array([1, 2])),
        Tensor((1,), "float32"),
    )
    mixed = NetworkProgram(tensors, (KernelCall("k", (0, 1, 2), (3,)),), input=0, output=3)
    packed, offsets = pack_weights(mixed)
    source = network_source(mixed, {"k": "k"}, offsets, title="network x")
    scalar = next(line for line in source.splitlines() if "DLTensor tensor_1 " in line)
    assert ".ndim = 0" in scalar
    assert ".dtype = {2, 32, 1}" in scalar
    integers = next(line for line in source.splitlines() if "DLTensor tensor_2 " in line)
    assert ".dtype = {0, 64, 1}" in integers
    assert offsets == {1: 0, 2: 64}
    assert packed == np.float32(6).tobytes() + bytes(60) + np.array([1, 2]).tobytes()


def test_assembler_quotes_the_path():
    text = weights_assembly(Path('/a "b" \\ c/weights.bin'))
    assert '.incbin "/a \\"b\\" \\\\ c/weights.bin"' in text
