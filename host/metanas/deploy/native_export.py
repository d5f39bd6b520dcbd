"""An exported network as a program of its own, for boards that have no ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metanas.deploy.agreement import compare
from metanas.deploy.export import input_shape_of, load_model, run_onnx
from metanas.errors import ExportError
from metanas.files import replacing, write_json
from metanas.native import Artifact, Target, build_network_program, find_target
from metanas.native.cache import MANIFEST, PROGRAM
from metanas.native.running import emulator_of, run_network_program
from metanas.provenance import provenance

FORMAT = "metanas-native-network"
FORMAT_VERSION = 1
_CHECKED_IMAGES = 4


@dataclass(frozen=True, slots=True)
class NativeExport:
    """A program beside its model.

    Args:
        path: the program; `manifest.json` lies beside it.
        manifest: what the program is, what it takes, and how it was checked.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def size_bytes(self) -> int:
        """Of the program."""
        return int(self.manifest["size_bytes"])

    @property
    def checked(self) -> str:
        """In words, how it was checked."""
        if check := self.manifest["check"]:
            return f"agrees with the model to {check['largest_share']:.0e}, run by {check['by']}"
        return "not run here: nothing here runs such programs (apt install qemu-user-static)"


def export_program(model: bytes, target_name: str, folder: Path) -> NativeExport:
    """Compile an exported network for a processor, see that it agrees, and write it.

    Args:
        model: an exported network; its batch is free or 1.
        target_name: of the processor; see `metanas.native.TARGETS`.
        folder: gets `program` and `manifest.json`; the latter names the former's hash and is
            written last, so that a pair that does not match is what a kill has left.

    Raises:
        ExportError: the model is broken, or its program computes something else.
        NativeError: the program cannot be built or run; see `build_network_program`.
        UnknownTargetError: there is no such target.
    """
    target = find_target(target_name)
    proto = load_model(model)
    artifact = build_network_program(model, target)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "program": PROGRAM,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "target": target.name,
        "machines": list(target.machines),
        "input_shape": list(input_shape_of(proto)),
        "metadata": {entry.key: entry.value for entry in proto.metadata_props},
        "model_sha256": hashlib.sha256(model).hexdigest(),
        "check": _check(model, artifact, target),
        "built_from": artifact.manifest["configuration"],
        "provenance": provenance(),
    }
    path = folder / PROGRAM
    with replacing(path) as temporary:
        temporary.write_bytes(artifact.path.read_bytes())
    path.chmod(path.stat().st_mode | 0o111)
    write_json(folder / MANIFEST, manifest)
    return NativeExport(path, manifest)


def _check(model: bytes, artifact: Artifact, target: Target) -> dict[str, Any] | None:
    """Compare with ONNX Runtime on random images; None where the program cannot be run here."""
    emulator = emulator_of(target)
    if emulator is None:
        return None
    shape = (_CHECKED_IMAGES, *input_shape_of(load_model(model)))
    images = np.random.default_rng(0).standard_normal(shape, np.float32)
    expected = np.concatenate([run_onnx(model, image[None]) for image in images])
    agreement = compare([(expected, run_network_program(artifact, images))])
    if not agreement.within:
        raise ExportError(
            f"the program for {target.name} and ONNX Runtime differ by "
            f"{agreement.largest_share:.1e} of the logits' range "
            f"(allowed: {agreement.tolerance:.0e})",
            hint="report this network's architecture: a kernel is wrong",
        )
    return {
        "by": " ".join(emulator) or "this machine",
        "images": agreement.images,
        "largest_share": agreement.largest_share,
        "tolerance": agreement.tolerance,
    }
