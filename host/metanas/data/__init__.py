"""Episodes from images: data sets loaded once into byte arrays, and tasks sliced from them."""

from metanas.data.dataset import DATASETS, DataSet, load
from metanas.data.episodes import Episodes, EpisodeSampler, EpisodeSettings
from metanas.data.image_set import ImageSet
from metanas.data.recipe import SPLITS, Progress, Rotations, Split

__all__ = [
    "DATASETS",
    "SPLITS",
    "DataSet",
    "EpisodeSampler",
    "EpisodeSettings",
    "Episodes",
    "ImageSet",
    "Progress",
    "Rotations",
    "Split",
    "load",
]
