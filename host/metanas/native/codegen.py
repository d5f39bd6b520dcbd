"""Scheduled kernels become what the target's compiler takes: C, or an object file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tvm

from metanas.native.targets import Target

_PASS_SETTINGS = {
    # The harness makes the tensors for the kernels: checks of their shapes would double a program.
    "tirx.disable_assert": True,
    # A compiler knows better which address to keep in a register over a loop, and which to add up.
    "tirx.disable_cse_tir": True,
}
_INCLUDE = re.compile(r"^#include .*\n", re.MULTILINE)


def write_kernels(kernels: Mapping[str, Any], target: Target, folder: Path) -> Path:
    """Let TVM write kernels; `__tvm_ffi_NAME` is what C calls each by.

    Args:
        kernels: scheduled PrimFuncs by name, which must be a C name.

    Returns:
        A file in the folder, to be linked. C includes `kernels.h`, of the harness.
    """
    module = tvm.IRModule(
        {name: kernel.with_attr("global_symbol", name) for name, kernel in kernels.items()}
    )
    with tvm.transform.PassContext(config=_PASS_SETTINGS):
        compiled = tvm.compile(module, target=tvm.target.Target(target.tvm)).mod
    path = folder / ("kernels.c" if target.generates_c else "kernels.o")
    compiled.write_to_file(str(path))
    if target.generates_c:
        source = _INCLUDE.sub("", path.read_text(encoding="utf-8"))
        path.write_text(f'#include "kernels.h"\n{source}', encoding="utf-8")
    return path
