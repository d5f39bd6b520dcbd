"""Layers on maps (images, channels, height, width), with a runtime's own convolutions."""

from metanas.deploy.adaptation_graph.plain.layers import PlainLayers, cropped

__all__ = ["PlainLayers", "cropped"]
