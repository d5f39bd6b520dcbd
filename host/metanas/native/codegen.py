"""Scheduled kernels become what the target's compiler takes: C, or an object file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tvm

from metanas.native.cache import harness_folder
from metanas.native.short_vector_activations import CURVES
from metanas.native.short_vector_activations import assembly as routines
from metanas.native.short_vectors import DIRECTIVES, Tile, assembly
from metanas.native.targets import Target

_PASS_SETTINGS = {
    # The harness makes the tensors for the kernels: checks of their shapes would double a program.
    "tirx.disable_assert": True,
    # A compiler knows better which address to keep in a register over a loop, and which to add up.
    "tirx.disable_cse_tir": True,
}
_TILE = re.compile(r"\bsum_tiles_k(\d+)s(\d+)p(\d+)\b")
_INCLUDE = re.compile(r"^#include .*\n", re.MULTILINE)


def write_kernels(kernels: Mapping[str, Any], target: Target, folder: Path) -> list[Path]:
    """Let TVM write kernels; `__tvm_ffi_NAME` is what C calls each by.

    Args:
        kernels: scheduled PrimFuncs by name, which must be a C name.

    Returns:
        Files to be linked. They include headers of the harness.
    """
    module = tvm.IRModule(
        {name: kernel.with_attr("global_symbol", name) for name, kernel in kernels.items()}
    )
    with tvm.transform.PassContext(config=_PASS_SETTINGS):
        compiled = tvm.compile(module, target=tvm.target.Target(target.tvm)).mod
    if not target.generates_c:
        path = folder / "kernels.o"
        compiled.write_to_file(str(path))
        return [path]
    path = folder / "kernels.c"
    compiled.write_to_file(str(path))
    source = _INCLUDE.sub("", path.read_text(encoding="utf-8"))
    tiles = sorted({Tile(*map(int, sizes)) for sizes in _TILE.findall(source)})
    path.write_text(f'#include "kernels.h"\n{source}', encoding="utf-8")
    return [path, *_write_tiles(tiles, folder)]


def _write_tiles(tiles: Sequence[Tile], folder: Path) -> list[Path]:
    """The functions of register tiles that kernels call, and what chooses among their twins."""
    if not tiles:
        return []
    code, choices = folder / "tiles.S", folder / "tiles.c"
    code.write_text(assembly(tiles), encoding="utf-8")
    definitions = "".join(
        f"DEFINE_TILE({tile.name}, {tile.kernel}, {tile.stride}, {tile.pixels})\n" for tile in tiles
    )
    choices.write_text(f'#include "vectors.h"\n{definitions}', encoding="utf-8")
    return [code, choices, harness_folder() / "vectors.c"]


def write_curves(activations: Sequence[str], folder: Path) -> list[Path]:
    """Tables of those activations that have one, and the assembler routines that read them."""
    curves = [curve for curve in CURVES if curve.name in activations]
    code, tables = folder / "curves.S", folder / "curves.c"
    code.write_text(f"{DIRECTIVES}{routines()}", encoding="utf-8")
    definitions = "".join(
        f"finish_routine {curve.routine};\n"
        f"static const float {curve.name}_table[] = {{{_numbers(curve.table())}}};\n"
        for curve in curves
    )
    rows = "".join(f'  {{"{c.name}", {c.routine}, {c.name}_table}},\n' for c in curves)
    tables.write_text(
        f'#include "vectors.h"\n{definitions}const struct curve curves[] = {{\n{rows}  {{0}}}};\n'
        "const int curve_count = sizeof curves / sizeof *curves - 1;\n",
        encoding="utf-8",
    )
    return [code, tables]


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{float(value).hex()}f" for value in values)
