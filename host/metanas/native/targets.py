"""Targets: the processors that native programs are built for, as data."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from metanas.errors import UnknownTargetError

CompilerKind = Literal["zig", "gcc"]


@dataclass(frozen=True, slots=True)
class CompilerChoice:
    """One way to compile and link for a target.

    Args:
        kind: `zig` (package `ziglang`) or a distribution's `gcc`.
        command: what is started: `zig cc`, or the name of the cross compiler.
        flags: processor, floating-point unit and calling convention.
        libraries: what is linked last.
    """

    kind: CompilerKind
    command: tuple[str, ...]
    flags: tuple[str, ...]
    libraries: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A processor that a native program is built for.

    Args:
        name: what a board's profile calls it.
        tvm: TVM's target as JSON; `c` is compiled by the compiler, `llvm` by TVM itself.
        compilers: in the order of preference.
        lanes: float32 values in a vector register; 1 where there are none.
        channel_block: output channels that a register tile computes at once; weights are packed
            by it.
        tiles: register tiles that the kernels come in, as (channel blocks, pixels of a row).
        input_block: input channels between two visits of an output tile for kernels of 3 and
            more, so that their weights and rows stay in the first cache.
        strip_floats: sums to hold before they are pooled, so that they stay in a cache.
        latency: multiplications under way that keep the processor busy.
        load_cost: of a load, in multiplications, where both can run at the same time.
        machines: what `uname -m` says where its programs run.
        emulator: command that runs its programs elsewhere.
        short_vectors: whether it has VFP short vectors, which no compiler uses: its register tiles
            are written in assembler.
    """

    name: str
    tvm: str
    compilers: tuple[CompilerChoice, ...]
    lanes: int
    channel_block: int
    tiles: tuple[tuple[int, int], ...]
    input_block: int
    strip_floats: int
    latency: int
    load_cost: float
    machines: tuple[str, ...]
    emulator: tuple[str, ...] = ()
    short_vectors: bool = False

    @property
    def generates_c(self) -> bool:
        """Whether TVM writes C for the compiler instead of an object file."""
        return bool(json.loads(self.tvm)["kind"] == "c")


_NEON_TILES = tuple((1, pixels) for pixels in (1, 2, 3, 4, 5, 6, 7))
_NARROW_TILES = ((1, 1), (1, 2), (1, 3), (1, 4))  # for few registers
_AVX_TILES = (
    *((1, pixels) for pixels in (1, 2, 4, 6, 7, 11, 14)),
    *((2, pixels) for pixels in (2, 4, 6, 7)),
    *((4, pixels) for pixels in (1, 2, 4)),
)


def _zig(triple: str, *flags: str) -> CompilerChoice:
    # Without a C library: zig would compile one first, which takes a minute; its run-time library
    # (memcpy, integer division, single-precision mathematics) takes seconds.
    return CompilerChoice("zig", ("zig", "cc"), ("-target", triple, "-ffreestanding", *flags))


def _gcc(triple: str, *flags: str) -> CompilerChoice:
    return CompilerChoice("gcc", (f"{triple}-gcc",), flags, ("-lm",))


def _llvm(triple: str, processor: str, *attributes: str) -> str:
    target = {
        "kind": "llvm",
        "mtriple": triple,
        "mcpu": processor,
        "mattr": list(attributes),
        "mfloat-abi": "hard",  # else ARM kernels pass a float to a library in an integer's register
    }
    return json.dumps(target)


def _x86(level: int, tiles: tuple[tuple[int, int], ...], lanes: int, *attributes: str) -> Target:
    # The plain levels stand for what a processor has, not for whose it is: one program serves all.
    processor = f"x86-64-v{level}"
    return Target(
        name=processor,
        tvm=_llvm("x86_64-linux-gnu", processor, *attributes),
        compilers=(
            _zig("x86_64-freestanding", f"-mcpu={processor.replace('-', '_')}"),
            CompilerChoice("gcc", ("gcc",), (f"-march={processor}",), ("-lm",)),
        ),
        lanes=lanes,
        channel_block=lanes,
        tiles=tiles,
        input_block=16,
        strip_floats=1 << 16,
        latency=8,
        load_cost=0.2,
        machines=("x86_64",),
    )


_TARGETS = {
    target.name: target
    for target in (
        Target(
            name="armv6",
            tvm=json.dumps({"kind": "c"}),  # TVM's LLVM never multiplies and adds at once here
            compilers=(
                _zig(
                    "arm-freestanding-eabihf",
                    "-mcpu=arm1176jzf_s-slowfpvmlx",
                    "-ffp-contract=on",
                    # In the order of the source: else the loads of a whole window go first, and
                    # there are not enough registers to keep them.
                    "-mllvm",
                    "-pre-RA-sched=source",
                ),
                _gcc(
                    "arm-linux-gnueabi",
                    "-mcpu=arm1176jzf-s",
                    "-marm",
                    "-mfpu=vfp",
                    "-mfloat-abi=softfp",
                ),
            ),
            lanes=1,
            channel_block=4,
            tiles=_NARROW_TILES,
            input_block=16,
            strip_floats=1 << 12,
            latency=8,
            load_cost=0.2,
            machines=("armv6l", "armv7l", "armv8l"),
            emulator=("qemu-arm-static", "-cpu", "arm1176"),
            short_vectors=True,
        ),
        Target(
            name="armv7",  # every 32-bit Raspberry Pi from the 2 on; the A15 is wide, as the A72 is
            tvm=_llvm("armv7-linux-gnueabihf", "cortex-a15", "+neon", "+vfp4"),
            compilers=(
                _zig("arm-freestanding-eabihf", "-mcpu=cortex_a15"),
                _gcc("arm-linux-gnueabihf", "-mcpu=cortex-a15", "-mfpu=neon-vfpv4"),
            ),
            lanes=4,
            channel_block=4,
            tiles=_NARROW_TILES,
            input_block=32,
            strip_floats=1 << 15,
            latency=8,
            load_cost=0.5,
            machines=("armv7l", "armv8l"),
            emulator=("qemu-arm-static", "-cpu", "cortex-a15"),
        ),
        Target(
            name="aarch64",
            tvm=_llvm("aarch64-linux-gnu", "cortex-a72", "+neon"),
            compilers=(
                _zig("aarch64-freestanding", "-mcpu=cortex_a72"),
                _gcc("aarch64-linux-gnu", "-mcpu=cortex-a72"),
            ),
            lanes=4,
            channel_block=8,
            tiles=_NEON_TILES,
            input_block=32,
            strip_floats=1 << 15,
            latency=8,
            load_cost=0.5,
            machines=("aarch64",),
            emulator=("qemu-aarch64-static", "-cpu", "cortex-a72"),
        ),
        _x86(4, _AVX_TILES, 16, "-prefer-256-bit"),
        _x86(3, _AVX_TILES, 8),
        _x86(2, _AVX_TILES, 4),
    )
}

TARGETS = ("x86-64", *_TARGETS)
"""Names of the targets; `x86-64` is the best level of x86-64 that this machine has."""


def find_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UnknownTargetError: there is none.
    """
    if name == "x86-64":
        name = f"x86-64-v{_x86_level()}"
    if name not in _TARGETS:
        raise UnknownTargetError(
            f"no native target {name!r}", hint=f"use one of {', '.join(TARGETS)}"
        )
    return _TARGETS[name]


@cache
def _x86_level() -> int:
    """The x86-64 level of this machine, judged by the features that the kernels use."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return 2
    if flags >= {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}:
        return 4
    return 3 if flags >= {"avx2", "fma", "bmi2", "movbe"} else 2
