"""Opsets: in which a network's file is written, and which an ONNX Runtime runs.

A file also has an IR version. ONNX says which one an opset needs at least; every ONNX Runtime that
runs the opset reads that, and not always a later one, so a file gets exactly that.
"""

from __future__ import annotations

import re

import onnx
from onnx import version_converter

from metanas.errors import ExportError

OPSET = 18
"""What torch's exporter writes, and ONNX Runtime runs since 1.14."""

OLDEST_OPSET, NEWEST_OPSET = 14, 26
"""Between these, ONNX's converter takes our networks from `OPSET` and back."""

_NEWEST_RUN = {
    (1, 8): 14,
    (1, 9): 15,
    (1, 11): 16,
    (1, 12): 17,
    (1, 14): 18,
    (1, 16): 19,
    (1, 17): 20,
    (1, 18): 21,
    (1, 21): 22,
    (1, 23): 23,
    (1, 24): 25,
    (1, 25): 26,
}
"""ONNX Runtime's version to the newest opset that it runs; it holds up to the next one listed.

Up to 1.14 as ONNX Runtime's compatibility table says (onnxruntime.ai/docs/reference/compatibility);
from 1.15 on as found by `benchmarks/opsets_run.py` with the releases themselves, which is less by
one for 1.15: it reads opset 19 and has no kernel of its average pooling.
"""


def newest_opset(runtime_version: str) -> int:
    """The newest opset in which an ONNX Runtime runs the networks of our spaces.

    Args:
        runtime_version: such as `1.31.1`; what stands behind the first two numbers is of no matter.

    Raises:
        ExportError: no version can be read from it, or it is older than any that is known.
    """
    found = re.match(r"(\d+)\.(\d+)", runtime_version)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    run = [opset for since, opset in _NEWEST_RUN.items() if since <= version]
    if not run:
        raise ExportError(
            f"onnxruntime {runtime_version!r} is not known to run opset {OLDEST_OPSET} or newer",
            hint="install onnxruntime 1.15 or newer on the device, or name an --opset",
        )
    return max(run)


def choose_opset(wanted: int | None, *, runtime_version: str, device: str) -> int:
    """The opset of a file for a device: what is wanted, else `OPSET` or what runs there.

    Raises:
        ExportError: the device's ONNX Runtime does not run the opset that is wanted, or no network
            can be written in it.
    """
    newest = newest_opset(runtime_version)
    if wanted is None:
        return min(OPSET, newest)
    _check_range(wanted)
    if wanted > newest:
        raise ExportError(
            f"{device} cannot run opset {wanted}: its onnxruntime {runtime_version} "
            f"runs up to opset {newest}",
            hint=f"leave --opset out or use --opset {newest}, or update onnxruntime there",
        )
    return wanted


def convert_opset(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The same network in another opset, with the IR version that this needs at least.

    Raises:
        ExportError: the opset is out of range, or the network has an operator that it lacks.
    """
    _check_range(opset)
    if opset_of(model) != opset:
        try:
            model = version_converter.convert_version(model, opset)
        except RuntimeError as error:
            reason = str(error).rpartition(": ")[2].strip()[:200]
            raise ExportError(
                f"this network cannot be written in opset {opset}: {reason}",
                hint="use a newer opset",
            ) from error
    model.ir_version = onnx.helper.find_min_ir_version_for(model.opset_import)
    return model


def opset_of(model: onnx.ModelProto) -> int:
    """Of the standard operators."""
    return max(int(e.version) for e in model.opset_import if e.domain in ("", "ai.onnx"))


def _check_range(opset: int) -> None:
    if not OLDEST_OPSET <= opset <= NEWEST_OPSET:
        raise ExportError(
            f"no network can be written in opset {opset}",
            hint=f"use an opset from {OLDEST_OPSET} to {NEWEST_OPSET}",
        )
