"""Runtimes that can time a layer, one file each; loaded and tried only in a child process."""

from metanas_agent.runtimes.runtime import (
    ACCELERATORS,
    PROGRAM_RUNTIMES,
    RUNTIMES,
    Model,
    Runtime,
    Setup,
    load_runtime,
)

__all__ = [
    "ACCELERATORS",
    "PROGRAM_RUNTIMES",
    "RUNTIMES",
    "Model",
    "Runtime",
    "Setup",
    "load_runtime",
]
