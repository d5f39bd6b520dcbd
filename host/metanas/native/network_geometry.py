"""The geometry of a convolution, and the tiles that its output is computed in."""

from __future__ import annotations

from dataclasses import dataclass

from metanas.native.targets import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvolutionShape:
    """A convolution of one image, without groups or dilation. Pairs are (rows, columns).

    Args:
        before: rows above and columns left of the map that are added as border.
        after: rows below and columns right of it.
    """

    in_channels: int
    size: tuple[int, int]
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def out_size(self) -> tuple[int, int]:
        """Rows and columns of the output."""
        rows, columns = (
            (size + before + after - kernel) // stride + 1
            for size, before, after, kernel, stride in zip(
                self.size, self.before, self.after, self.kernel, self.stride, strict=True
            )
        )
        return rows, columns

    @property
    def is_pointwise(self) -> bool:
        """1x1, stride 1, no border: each pixel by itself, wherever it lies."""
        pairs = (self.kernel, self.stride, self.before, self.after)
        return pairs == ((1, 1), (1, 1), (0, 0), (0, 0))


def tile_size(shape: ConvolutionShape, target: Target) -> tuple[int, int]:
    """Rows and columns of the output that a tile covers: those that cost the least.

    For each row of the window, a tile multiplies and adds, which takes at least the time that one
    sum waits for the last, and loads weights and pixels. Columns share pixels where the window
    overlaps.
    """
    (rows, columns), (_, kernel), (_, across) = shape.out_size, shape.kernel, shape.stride
    vectors = target.channel_block // target.lanes
    most_rows = 1 if target.short_vectors else rows
    largest = max(pixels for _, pixels in target.tiles)

    def cost(size: tuple[int, int]) -> float:
        height, width = size
        sums = kernel * max(height * width * vectors, target.latency)
        loads = kernel * vectors + height * min(width * kernel, (width - 1) * across + kernel)
        tiles = -(-rows // height) * -(-columns // width)
        return tiles * (sums + loads * target.load_cost)

    sizes = [
        (height, width)
        for height in range(1, min(most_rows, largest) + 1)
        for width in range(1, min(columns, largest // height) + 1)
    ]
    return min(sizes, key=cost)
