"""Runtimes that can time a layer, one file each; loaded and tried only in a child process."""

from metanas_agent.runtimes.runtime import (
    RUNTIMES,
    Model,
    Runtime,
    load_runtime,
)

__all__ = ["RUNTIMES", "Model", "Runtime", "load_runtime"]
