"""A board learns new classes from a folder of images, and classifies with what it has learned.

Only `needs` may be imported anywhere: what does the work imports numpy, Pillow and onnxruntime,
which a board need not have. `check_installed` says which of them is missing.
"""

from metanas_agent.learning.needs import check_installed

__all__ = ["check_installed"]
