"""The part of metanas that runs on a board: times layers, runs models, reports evidence."""

__version__ = "0.1.0"
