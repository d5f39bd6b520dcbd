"""What may stand behind a layer's sum of products."""

from __future__ import annotations

from metanas_agent.errors import InvalidLayerError

ACTIVATIONS = ("relu", "elu", "selu", "sigmoid", "relu6", "leakyrelu")
"""The six searchable activations of H-Meta-NAS, appendix A; a layer may also have "none"."""


def check_activation(op: str, activation: str) -> None:
    """Refuse a name that no layer may have.

    Raises:
        InvalidLayerError: the name is unknown.
    """
    if activation not in (*ACTIVATIONS, "none"):
        raise InvalidLayerError(
            f"{op} layer: unknown activation {activation!r}",
            hint=f"use one of {', '.join((*ACTIVATIONS, 'none'))}",
        )
