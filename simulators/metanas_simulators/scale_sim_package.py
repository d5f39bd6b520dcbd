"""The package `scalesim`: there or not, the version that is understood, and what its code lacks."""

from __future__ import annotations

import builtins
from functools import cache
from importlib import import_module, metadata
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from metanas.errors import ExtraMissingError

VERSION = "3.0.0"
"""Its figures are corrected for what is wrong in this version, so no other is taken."""


class ScaleSimPackage(NamedTuple):
    """The classes of the package that simulate one layer in memory."""

    configuration: Any
    topologies: Any
    layouts: Any
    layer: Any


@cache
def load_scale_sim() -> ScaleSimPackage:
    """Import the package, which takes a second.

    Raises:
        ExtraMissingError: it is not installed, or in another version.
    """
    try:
        found = metadata.version("scalesim")
    except metadata.PackageNotFoundError as error:
        raise _missing("is not installed") from error
    if found != VERSION:
        raise _missing(f"is {found}, and only {VERSION} is understood")
    _let_max_give_scalars(import_module("scalesim.memory.double_buffered_scratchpad_mem"))
    return ScaleSimPackage(
        configuration=import_module("scalesim.scale_config").scale_config,
        topologies=import_module("scalesim.topology_utils").topologies,
        layouts=import_module("scalesim.layout_utils").layouts,
        layer=import_module("scalesim.single_layer_sim").single_layer_sim,
    )


def _let_max_give_scalars(module: ModuleType) -> None:
    """Let `int(max(arrays))` work there: from numpy 2.4 on, an array of one number is none."""

    def scalar_max(*values: Any) -> Any:
        largest = builtins.max(*values)
        return largest.item() if isinstance(largest, np.ndarray) else largest

    vars(module)["max"] = scalar_max


def _missing(what: str) -> ExtraMissingError:
    return ExtraMissingError(
        f"the package scalesim {what}",
        hint="pip install 'metanas[scalesim]', or use the backend systolic: the same cycles",
    )
