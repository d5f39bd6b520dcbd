"""NativeArtifacts: the programs that a board with the runtime `native` needs."""

from __future__ import annotations

from pathlib import Path

from metanas.native.layer_program import build_layer_program
from metanas.native.network import build_network_program
from metanas.native.targets import find_target


class NativeArtifacts:
    """Builds a target's programs, or finds them in the cache; an `ArtifactSource` of devices.

    Args:
        target: name of the target.

    Raises:
        UnknownTargetError: there is no such target.
    """

    def __init__(self, target: str) -> None:
        self._target = find_target(target)

    def for_layers(self) -> tuple[str, Path]:
        """SHA-256 and path of the program that times any layer; see `build_layer_program`."""
        artifact = build_layer_program(self._target)
        return artifact.sha256, artifact.path

    def for_model(self, model: bytes) -> tuple[str, Path]:
        """SHA-256 and path of the program that runs an ONNX model.

        See `build_network_program` for what it raises.
        """
        artifact = build_network_program(model, self._target)
        return artifact.sha256, artifact.path
