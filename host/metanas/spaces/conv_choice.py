"""ConvArchitecture: the layers of a network as choices of kernel, channels and activation."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from metanas.errors import ArchitectureError

_LAYER_TEXT = re.compile(r"k(\d{1,2})c(\d{1,5})([a-z]+6?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ConvChoice:
    """The three choices of one layer; prints as `k3c64relu`."""

    kernel: int
    channels: int
    activation: str

    def __str__(self) -> str:
        return f"k{self.kernel}c{self.channels}{self.activation}"


@dataclass(frozen=True, slots=True)
class ConvArchitecture:
    """The layers that are kept, in order; prints as `k3c64relu-k5c16elu`."""

    layers: tuple[ConvChoice, ...]

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what was printed; whether a space holds it is the space's to say.

        Raises:
            ArchitectureError: the text is none.
        """
        matches = [_LAYER_TEXT.fullmatch(part) for part in text.strip().split("-")]
        layers = tuple(ConvChoice(int(m[1]), int(m[2]), m[3]) for m in matches if m)
        if len(layers) != len(matches):
            raise ArchitectureError(
                f"not an architecture: {text[:200]!r}",
                hint="write its layers like k3c64relu-k5c16elu",
            )
        return cls(layers)
