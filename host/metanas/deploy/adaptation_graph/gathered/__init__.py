"""Layers as gathers and matrix products: the fastest way to learn a chain of convolutions."""

from metanas.deploy.adaptation_graph.gathered.layers import GatheredLayers

__all__ = ["GatheredLayers"]
