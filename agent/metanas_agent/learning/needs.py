"""What learning needs besides the agent itself."""

from __future__ import annotations

from importlib import import_module

from metanas_agent.errors import RuntimeUnavailableError

_NEEDS = {"numpy": "numpy", "onnxruntime": "onnxruntime", "PIL.Image": "pillow"}
"""Module to the package that has it."""


def check_installed() -> None:
    """Import what learning needs.

    Raises:
        RuntimeUnavailableError: something is missing or cannot be loaded; it says how to get it.
    """
    broken: dict[str, ImportError] = {}
    for module, package in _NEEDS.items():
        try:
            import_module(module)
        except ImportError as error:
            broken[package] = error
    if broken:
        reasons = "; ".join(f"{package}: {error}" for package, error in broken.items())
        raise RuntimeUnavailableError(
            f"learning and classifying need what is not installed here: {reasons}",
            hint=f"on the device, run: pip install {' '.join(broken)}",
        )
