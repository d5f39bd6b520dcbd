"""A network program as C: tables of tensors and calls, which the harness walks, and the weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metanas.native.network_arena import ALIGNMENT_BYTES, lifetimes, plan_arena
from metanas.native.network_program import KernelCall, NetworkProgram, Tensor

WEIGHTS = "network_weights"
_ARENA = "arena"
_LONGEST_HINT = 40
_DLPACK_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
"""DLPack's codes of types, by NumPy's kinds."""


def kernel_symbols(program: NetworkProgram) -> dict[str, str]:
    """A C name for each kernel, of its own whatever the network calls its operators."""
    return {
        kernel: f"kernel_{number}_{re.sub(r'[^A-Za-z0-9_]', '_', kernel)[:_LONGEST_HINT]}"
        for number, kernel in enumerate(program.kernels)
    }


def pack_weights(program: NetworkProgram) -> tuple[bytes, dict[int, int]]:
    """All constants in one block, and the offset of each by its tensor's index."""
    packed = bytearray()
    offsets: dict[int, int] = {}
    for index, tensor in enumerate(program.tensors):
        if tensor.constant is not None:
            packed += bytes(-len(packed) % ALIGNMENT_BYTES)
            offsets[index] = len(packed)
            packed += tensor.constant.tobytes()
    return bytes(packed), offsets


def weights_assembly(weights: Path) -> str:
    """Assembler that puts a file's bytes into the program, read-only."""
    path = str(weights).replace("\\", "\\\\").replace('"', '\\"')
    return f"""\
.section .rodata
.balign {ALIGNMENT_BYTES}
.global {WEIGHTS}
{WEIGHTS}:
.incbin "{path}"
.byte 0
.section .note.GNU-stack,"",%progbits
"""


def network_source(
    program: NetworkProgram,
    symbols: Mapping[str, str],
    weights: Mapping[int, int],
    *,
    title: str,
) -> str:
    """The C source of what `harness/network.h` declares.

    Args:
        symbols: C name of each kernel.
        weights: offset of each constant in the block of weights.
        title: what the program says of itself when it starts.
    """
    needs = lifetimes(program)
    arena = plan_arena(list(needs.values()))
    places = dict(zip(needs, (f"{_ARENA} + {offset}" for offset in arena.offsets), strict=True))
    places |= {index: f"(unsigned char *){WEIGHTS} + {at}" for index, at in weights.items()}
    parts = [
        '#include "network.h"',
        f"extern const unsigned char {WEIGHTS}[];",
        f"static unsigned char {_ARENA}[{max(arena.size_bytes, 1)}]"
        f" __attribute__((aligned({ALIGNMENT_BYTES})));",
        *(
            f"extern int32_t __tvm_ffi_{name}(void *, void *, int32_t, void *);"
            for name in symbols.values()
        ),
        *(_tensor(index, tensor, places[index]) for index, tensor in enumerate(program.tensors)),
        *(_arguments(number, call) for number, call in enumerate(program.calls)),
        _calls(program.calls, symbols),
        f'const char network_title[] = "{title}";',
        *_end("input", program.tensors[program.input], places[program.input]),
        *_end("output", program.tensors[program.output], places[program.output]),
    ]
    return "\n".join(parts) + "\n"


def _tensor(index: int, tensor: Tensor, place: str) -> str:
    dtype = np.dtype(tensor.dtype)
    type_ = f"{_DLPACK_CODES[dtype.kind]}, {dtype.itemsize * 8}, 1"
    shape = ", ".join(map(str, tensor.shape or (1,)))
    return (
        f"static int64_t shape_{index}[] = {{{shape}}};\n"
        f"static DLTensor tensor_{index} = {{.data = {place}, .device = {{DL_CPU, 0}}, "
        f".ndim = {len(tensor.shape)}, .dtype = {{{type_}}}, .shape = shape_{index}}};"
    )


def _arguments(number: int, call: KernelCall) -> str:
    values = ", ".join(
        f"{{.type_index = TVM_TENSOR, .v_ptr = &tensor_{index}}}"
        for index in (*call.inputs, *call.outputs)
    )
    return f"static TVMFFIAny arguments_{number}[] = {{{values}}};"


def _calls(calls: Sequence[KernelCall], symbols: Mapping[str, str]) -> str:
    lines = [
        f"  {{__tvm_ffi_{symbols[call.kernel]}, arguments_{number}, "
        f"{len(call.inputs) + len(call.outputs)}}},"
        for number, call in enumerate(calls)
    ]
    return "\n".join(
        [
            "const struct kernel_call network_calls[] = {",
            *lines,
            "  {0}",
            "};",
            f"const size_t network_call_count = {len(calls)};",
        ]
    )


def _end(name: str, tensor: Tensor, place: str) -> list[str]:
    """The program's input or output, which is float32."""
    return [
        f"float *const network_{name} = (float *)({place});",
        f"const size_t network_{name}_count = {tensor.size_bytes // 4};",
    ]
