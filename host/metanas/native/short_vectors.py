"""Register tiles for processors with VFP short vectors (ARM11): assembler, as no compiler knows it.

One instruction there multiplies and adds up to eight registers, one a cycle, and other instructions
load the next operands meanwhile. In a register tile (see `kernels`) the sums of a pixel are four
neighbouring registers, as many channels; one instruction adds to them the products of four weights
with that pixel:

    s0 to s7      pixels of a row, a ring: the next ones replace those that are done with
    s8 to s15     weights of two window columns, four channels each, in turns
    s16 to s31    sums of up to four pixels

The functions that are written here are `fast_NAME`; `vectors.c` gives each a plain twin for
processors that have no short vectors, and `sum_tiles_NAME`, which picks one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

CHANNELS = 4
"""Output channels that a tile sums side by side."""

DIRECTIVES = """\
.section .note.GNU-stack, "", %progbits
.syntax unified
.arm
.fpu vfpv2
.text
"""
"""What a source in assembler begins with."""

_RING = 8
_FIRST_WEIGHT, _FIRST_SUM = 8, 16
MOST_PIXELS = 4
"""Of a row, in a register tile."""

SAVED_BYTES = 4 * (9 + 16)
"""Of the registers that a function must give back: behind them are its arguments on the stack."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """What a function is made for.

    Args:
        kernel: side of the square window.
        stride: of the window.
        pixels: neighbours in a row, at most `MOST_PIXELS`.
    """

    kernel: int
    stride: int
    pixels: int

    @property
    def name(self) -> str:
        """What its functions have in common."""
        return f"k{self.kernel}s{self.stride}p{self.pixels}"

    @property
    def symbol(self) -> str:
        """The function that kernels call."""
        return f"sum_tiles_{self.name}"

    @property
    def columns(self) -> int:
        """Pixels of the image that a row of the window needs."""
        return (self.pixels - 1) * self.stride + self.kernel

    @property
    def weight_steps(self) -> tuple[int, int, int, int]:
        """From one weight to the next: by input channel, row, column and output channel."""
        return self.kernel**2 * CHANNELS, self.kernel * CHANNELS, CHANNELS, 1


def assembly(tiles: Iterable[Tile]) -> str:
    """The source of the functions of some tiles."""
    functions = "\n".join(_function(tile) for tile in tiles)
    return f"{DIRECTIVES}{functions}"


def enter(name: str) -> tuple[str, ...]:
    """The beginning of a function that uses all registers."""
    return (
        f".globl {name}",
        f".type {name}, %function",
        ".balign 32",
        f"{name}:",
        "push {r4-r11, lr}",
        "vpush {d8-d15}",
    )


def leave(name: str) -> tuple[str, ...]:
    """The end of a function that began with `enter`."""
    return ("vpop {d8-d15}", "pop {r4-r11, pc}", f".size {name}, . - {name}")


def _function(tile: Tile) -> str:
    """See `sum_tiles` in `vectors.h` for the arguments.

    r0 sums, r1 image, r2 weights, r3 start, r4 channels, r5 from the end of a channel's last row
    to the next channel, r6 from the end of a row to the next, r7 tiles, r8 the status to restore,
    r9 from start to start; r10 weights, r11 channels and r12 pixels still to go. The rows still to
    go are counted where they were passed.
    """
    name = f"fast_{tile.name}"
    arguments = tile.pixels * CHANNELS * 4 + SAVED_BYTES
    bytes_of_sums = tile.pixels * CHANNELS * 4
    sums = _registers(_FIRST_SUM, tile.pixels * CHANNELS)
    first = f"s{_FIRST_SUM}"
    copies = [f"vmov.f32 s{_sum(j)}, {first}" for j in range(1, tile.pixels)]
    lines = [
        *enter(name),
        f"add r12, sp, #{SAVED_BYTES}",
        "ldm r12, {r4-r7}",
        f"sub r5, r5, #{4 * tile.columns}",
        *["sub r5, r5, r6"] * (tile.kernel - 1),
        f"sub r6, r6, #{4 * tile.columns}",
        "vmrs r8, fpscr",
        f"orr r9, r8, #{CHANNELS - 1 << 16}",
        "vmsr fpscr, r9",
        f"sub sp, sp, #{bytes_of_sums}",
        f"mov r9, #{bytes_of_sums}",
        "cmp r3, r0",
        "beq 1f",
        f"vldmia r3, {_registers(_FIRST_SUM, CHANNELS)}",
        *copies,
        f"vstmia sp, {sums}",
        "mov r3, sp",
        "mov r9, #0",
        "1:",
        f"vldmia r3, {sums}",
        "add r3, r3, r9",
        "mov r12, r1",
        "mov r10, r2",
        "mov r11, r4",
        "2:",
        *_channel(tile),
        "subs r11, r11, #1",
        "bne 2b",
        f"vstmia r0!, {sums}",
        f"add r1, r1, #{4 * tile.pixels * tile.stride}",
        "subs r7, r7, #1",
        "bne 1b",
        f"add r12, sp, #{arguments + 12}",
        "ldm r12, {r7, r10, r11, lr}",
        "add r0, r0, r11",
        "add r1, r1, lr",
        "cmp r9, #0",
        "movne r3, r0",
        "subs r10, r10, #1",
        "str r10, [r12, #4]",
        "bne 1b",
        "vmsr fpscr, r8",
        f"add sp, sp, #{bytes_of_sums}",
        *leave(name),
    ]
    return "\n".join(lines) + "\n"


def _sum(pixel: int) -> int:
    return _FIRST_SUM + pixel * CHANNELS


def _channel(tile: Tile) -> Iterator[str]:
    """All of the window over one channel: each load goes one window column before its use."""
    pixels = _Pixels(tile)
    taps = tile.kernel**2
    yield from pixels.load_first()
    yield _load_weights(0, count=min(taps, 2))
    for tap in range(taps):
        row, dx = divmod(tap, tile.kernel)
        for j in range(tile.pixels):
            pixel = pixels.register(row, j * tile.stride + dx)
            yield f"vmla.f32 s{_sum(j)}, s{_weight(tap)}, s{pixel}"
            if j == 0 and tap + 1 < taps:
                if tap > 0:
                    yield _load_weights(tap + 1)
                yield from pixels.load_early(tap)
        if tap + 1 < taps:
            yield from pixels.load_for(tap + 1)


def _weight(tap: int) -> int:
    return _FIRST_WEIGHT + tap % 2 * CHANNELS


def _load_weights(tap: int, *, count: int = 1) -> str:
    return f"vldmia r10!, {_registers(_weight(tap), count * CHANNELS)}"


def _registers(first: int, count: int) -> str:
    return f"{{s{first}-s{first + count - 1}}}" if count > 1 else f"{{s{first}}}"


class _Pixels:
    """Where the pixels of a window's rows are: each row behind the one before it in the ring, or
    where a row does not fit, from its beginning."""

    def __init__(self, tile: Tile) -> None:
        self._tile = tile
        self._pitch = tile.columns if tile.columns <= _RING else -(-tile.columns // _RING) * _RING
        self._next = 0

    def register(self, row: int, column: int) -> int:
        return (row * self._pitch + column) % _RING

    def load_first(self) -> Iterator[str]:
        yield from self._load(min(self._tile.columns, _RING))

    def load_for(self, tap: int) -> Iterator[str]:
        """What a window column multiplies, as far as it is not there yet."""
        if self._next < self._needed(tap):
            yield from self._load(self._first_in_use(tap) + _RING)

    def load_early(self, tap: int) -> Iterator[str]:
        """During a window column: what the next one multiplies, where there is a place for it."""
        if self._next < self._needed(tap + 1):
            yield from self._load(self._first_in_use(tap) + _RING)

    def _needed(self, tap: int) -> int:
        return self._first_in_use(tap) + (self._tile.pixels - 1) * self._tile.stride + 1

    def _first_in_use(self, tap: int) -> int:
        row, dx = divmod(tap, self._tile.kernel)
        return row * self._pitch + dx

    def _load(self, end: int) -> Iterator[str]:
        columns, rows = self._tile.columns, self._tile.kernel
        while self._next < min(end, rows * self._pitch):
            row, column = divmod(self._next, self._pitch)
            first = self._next % _RING
            count = min(end - self._next, _RING - first, columns - column)
            yield f"vldmia r12!, {_registers(first, count)}"
            self._next += count
            if column + count == columns:
                self._next = (row + 1) * self._pitch
                yield f"add r12, r12, r{5 if row + 1 == rows else 6}"
