"""A network's native program: from the cache, or built into it."""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

from metanas.native.cache import Artifact, build_cached, harness_digest, tvm_version
from metanas.native.network_model import parse_network
from metanas.native.targets import Target
from metanas.native.toolchain import find_toolchain

_GENERATORS = (
    "activations.py",
    "codegen.py",
    "short_vector_activations.py",
    "short_vectors.py",
    "targets.py",
)


def build_network_program(model: bytes, target: Target) -> Artifact:
    """Compile a network for one image into a static program, or find it in the cache.

    Args:
        model: an ONNX file of one float32 image input and one float32 output; its batch is 1 or
            free. What it says of itself (its metadata) does not matter.

    Raises:
        NativeBuildError: the network cannot be compiled; the message names the operator.
        NativeUnavailableError: TVM is not installed.
        ToolchainMissingError: no compiler for the target is installed.
        CompilationError: the compiler failed.
        NativeError: the cache cannot be written.
    """
    network = parse_network(model)
    toolchain = find_toolchain(target)
    configuration = {
        "kind": "network",
        "target": target.name,
        "generator": _generator_digest(),
        "tvm": tvm_version(),
        "toolchain": toolchain.configuration,
        "harness": harness_digest(),
        "network": network.digest,
    }

    def build(path: Path) -> None:
        # TVM takes seconds to import, and what is in the cache needs none of it.
        from metanas.native.network_build import build_network  # noqa: PLC0415

        build_network(network, target, toolchain, path)

    return build_cached(configuration, build)


def _generator_digest() -> str:
    """SHA-256 over the modules that write a program: it is built again when one changes."""
    digest = hashlib.sha256()
    for file in sorted(resources.files("metanas.native").iterdir(), key=lambda file: file.name):
        if file.name in _GENERATORS or file.name.startswith("network"):
            digest.update(f"{file.name}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
