"""What this machine lacks for a device of its own, as far as files tell: nothing is imported."""

from __future__ import annotations

import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from metanas.devices.profile import LocalProfile

_NEEDS = {
    "native": ("tvm", "TVM is not installed: pip install 'metanas[native]'"),
    "onnx": ("onnxruntime", "onnxruntime is not installed: pip install onnxruntime"),
    "torch": ("torch", "torch is not installed: pip install torch"),
}
"""By runtime: the module that it imports, and what to say where there is none."""

_GPU_DRIVERS = ("nvidia*", "nvhost*", "nvgpu*", "nvmap", "dxg")
"""In /dev: of cards, of boards with a GPU beside the processor, and of Windows below Linux."""


def lacking(profile: LocalProfile) -> str:
    """Why this machine cannot measure as the profile says; empty where nothing is known."""
    module, missing = _NEEDS.get(profile.runtime, ("", ""))
    if module and find_spec(module) is None:
        return missing
    return _lacking_for_cuda() if profile.accelerator == "cuda" else ""


def _lacking_for_cuda() -> str:
    if sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in _GPU_DRIVERS):
        return "no NVIDIA GPU, or none that its driver shows"
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:  # built from its sources
        return ""
    return f"torch {version} is built without CUDA" if version.endswith("+cpu") else ""
