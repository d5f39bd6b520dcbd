"""What an ARM program needs of its processor: what it says of itself, and what its code is."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

_ATTRIBUTES = {6: "Tag_CPU_arch", 9: "Tag_THUMB_ISA_use", 10: "Tag_FP_arch"}
_SIMD = 12
_NAMES = {
    6: {6: "v6", 7: "v6KZ", 8: "v6T2", 9: "v6K", 10: "v7", 14: "v8"},
    9: {1: "Thumb-1", 2: "Thumb-2"},
    10: {1: "VFPv1", 2: "VFPv2", 3: "VFPv3", 4: "VFPv3-D16", 5: "VFPv4", 7: "FP for ARMv8"},
}
_TEXTS = (4, 5, 65, 67)
_COMPATIBILITY = 32
_LOADER, _DYNAMIC = 3, 2

# Instructions that came with ARMv6T2 or later, VFPv3 or later, or with NEON.
_NEWER = re.compile(
    r"(movw|movt|[su]div|bf[ic]|[su]bfx|rbit|mls|dmb|dsb|isb|crc32|sevl|ldrht|strht|vfn?m[as]"
    r"|vld[1-4]|vst[1-4]|vdup|vsel|vmaxnm|vminnm|vrint|vext|vtbl|vzip|vuzp|vtrn"
    r"|v\w+\.([isu](8|16|64)|p8)|vcvt[abmnpt]|vcvt\.f16)"
)


def arm_attributes(program: Path) -> dict[str, str]:
    """Build attributes, such as `Tag_CPU_arch`: `v6`, which the linker merged from all objects.

    Empty for a program of another machine.
    """
    data = program.read_bytes()
    section = _sections(data).get(".ARM.attributes", b"")
    found: dict[str, str] = {}
    for tag, value in _pairs(section):
        if tag in _ATTRIBUTES and value:
            found[_ATTRIBUTES[tag]] = _NAMES[tag].get(value, str(value))
        elif tag == _SIMD and value:
            found["Tag_Advanced_SIMD_arch"] = str(value)
    return found


def is_static(program: Path) -> bool:
    """Whether it asks for no loader and no library."""
    data = program.read_bytes()
    wide = data[4] == 2
    (start,) = struct.unpack_from("<Q" if wide else "<I", data, 32 if wide else 28)
    size, count = struct.unpack_from("<HH", data, 54 if wide else 42)
    kinds = {struct.unpack_from("<I", data, start + i * size)[0] for i in range(count)}
    return not kinds & {_LOADER, _DYNAMIC}


def newer_than_armv6(program: Path) -> list[str]:
    """Lines of the disassembly that a Pi Zero's processor does not know.

    The program must hold its symbols, which tell constants from code.
    """
    disassembler = shutil.which("arm-linux-gnueabi-objdump") or shutil.which("llvm-objdump")
    if disassembler is None:
        pytest.skip("needs a disassembler: apt install binutils-arm-linux-gnueabi")
    done = subprocess.run(
        [disassembler, "-d", str(program)], capture_output=True, text=True, check=True
    )
    code = [line for line in done.stdout.splitlines() if re.match(r"\s+[0-9a-f]+:\t", line)]
    assert len(code) > 1000, "no code was disassembled"
    found = []
    for line in code:
        _, bits, instruction, *_ = (*line.split("\t"), "")
        is_thumb = re.fullmatch(r"[0-9a-f]{4}( [0-9a-f]{4})?", bits.strip()) is not None
        if is_thumb or "undefined" in line.lower() or _NEWER.match(instruction):
            found.append(line)
    return found


def _sections(data: bytes) -> dict[str, bytes]:
    """Contents of an ELF file's sections by name; little-endian, 32 bits."""
    if data[:5] != b"\x7fELF\x01":
        return {}
    (start,) = struct.unpack_from("<I", data, 32)
    size, count, names_at = struct.unpack_from("<HHH", data, 46)
    headers = [struct.unpack_from("<10I", data, start + i * size) for i in range(count)]
    names = data[headers[names_at][4] :]
    return {
        names[header[0] :].split(b"\0", 1)[0].decode(): data[header[4] :][: header[5]]
        for header in headers
    }


def _pairs(section: bytes) -> Iterator[tuple[int, int]]:
    """Tags and numbers of the public attributes ("aeabi") that hold for the whole file."""
    at = 1  # behind the format's version
    while at < len(section):
        (length,) = struct.unpack_from("<I", section, at)
        vendor, _, rest = section[at + 4 : at + length].partition(b"\0")
        if vendor == b"aeabi":
            (size,) = struct.unpack_from("<I", rest, 1)
            yield from _numbers(rest[5:size])
        at += length


def _numbers(data: bytes) -> Iterator[tuple[int, int]]:
    while data:
        tag, data = _uleb(data)
        is_text = tag in _TEXTS or (tag > _COMPATIBILITY and tag % 2)
        value = 0
        if not is_text:
            value, data = _uleb(data)
        if is_text or tag == _COMPATIBILITY:
            _, _, data = data.partition(b"\0")
        yield tag, value


def _uleb(data: bytes) -> tuple[int, bytes]:
    value = shift = 0
    for i, byte in enumerate(data):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, data[i + 1 :]
    raise ValueError("a number has no end")
