"""The inner loop as an inference graph: a board learns new classes with an ONNX runtime alone."""

from metanas.deploy.adaptation_graph.export import AdaptationGraphs, export_adaptation_graphs

__all__ = ["AdaptationGraphs", "export_adaptation_graphs"]
