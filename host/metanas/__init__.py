"""Hardware-aware meta neural architecture search for few-shot learning at the edge."""

from metanas_agent import __version__

__all__ = ["__version__"]
