"""Terms of the data that networks are trained on: part of a network's own."""

from __future__ import annotations

DATA_LICENCES = {
    "glyphs": "drawn by metanas with the free fonts that Matplotlib brings",
    "omniglot": "Omniglot, Lake et al. 2015: MIT licence",
    "mini-imagenet": "images of ImageNet: non-commercial research and education only",
    "fc100": "images of CIFAR-100, Krizhevsky 2009: published without a licence",
    "folder": "the author's own images: ask the author",
}
"""Name of a data set to its terms."""
