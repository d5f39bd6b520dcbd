"""A convolution at stride 1."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from metanas.deploy.adaptation_graph.gathered import pixels
from metanas.deploy.adaptation_graph.gathered.gathering import as_map, take, take_beside
from metanas.deploy.adaptation_graph.structure import Node, kernel_and_stride
from metanas.deploy.adaptation_graph.writer import GraphWriter, Value

_BLOCK = 2**17
"""Numbers an image of the patches that are gathered at once on the way back.

More of them leave the cache; with fewer, a runtime takes longer to load all the blocks.
"""


class DenseConvolution:
    """The weight is (channels, places * filters).

    Backwards, each pixel meets the outputs that it had a share in; the input's gradient and the
    weight's are both products with these. So no patch of the input is kept until then.
    """

    def __init__(self, writer: GraphWriter, node: Node) -> None:
        self._writer = writer
        self._kernel, _ = kernel_and_stride(node)
        self._channels, *sides = node.input_shape
        self._filters = node.output_shape[0]
        self._pixels = int(np.prod(sides))
        self._table = pixels.patches(sides, sides, self._kernel, 1)
        self._column = self._table[:, self._kernel // 2 :: self._kernel]

    def lay_out(self, weight: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Layout`."""
        turned = weight[:, :, ::-1, ::-1]  # as an output's pixel meets the input's from behind
        return turned.transpose(1, 2, 3, 0).reshape(self._channels, -1)

    def restore(self, weight: Value) -> Value:
        """See `Layout`."""
        rows = self._writer.add("Reshape", weight, self._writer.ints(-1, self._filters))
        places, channels = self._kernel**2, self._channels
        order = (np.arange(places)[::-1] + places * np.arange(channels)[:, None]).ravel()
        turned = take(self._writer, rows, order, places * channels, axis=0)
        shape = self._writer.ints(channels, self._kernel, self._kernel, self._filters)
        return self._writer.add(
            "Transpose", self._writer.add("Reshape", turned, shape), perm=(3, 0, 1, 2)
        )

    def forward(self, x: Value, weight: Value) -> Value:
        """See `Convolution`."""
        writer, kernel, places = self._writer, self._kernel, self._kernel**2
        rows = writer.add("Reshape", weight, writer.ints(-1, self._filters))
        turned = np.arange(places)[::-1].reshape(kernel, kernel)
        order = turned.T[:, None] + places * np.arange(self._channels)[:, None]
        kernels = take(writer, rows, order.ravel(), order.size, axis=0)
        if kernel == 1:
            return writer.add("MatMul", x, kernels)
        flat = writer.add("Reshape", kernels, writer.ints(kernel * self._channels, -1))
        return self._summed(writer.add("MatMul", self._rows_met(x, self._channels), flat))

    def _summed(self, made: Value) -> Value:
        """At each pixel, the sum of what the kernel's rows have made of the pixels around.

        Takes (images, pixels + 1, kernel * filters). These are fewer numbers to copy than patches
        are, as long as there are not many more filters than channels.
        """
        writer, kernel = self._writer, self._kernel
        count = (self._pixels + 1) * kernel
        pieces = writer.add("Reshape", made, writer.ints(-1, count, self._filters))
        found = self._column * kernel + np.arange(kernel)
        taken = take(writer, pieces, found.T.ravel(), count)
        shape = writer.ints(-1, kernel, self._pixels, self._filters)
        return writer.add(
            "ReduceSum", writer.add("Reshape", taken, shape), writer.ints(1), keepdims=0
        )

    def backward(
        self, x: Value, weight: Value, gradient: Value, rate: float
    ) -> tuple[Value, Value]:
        """See `Convolution`."""
        writer = self._writer
        at_output = as_map(writer, gradient, self._pixels, self._filters)
        blocks = self._blocks()
        learned: list[Value] = []
        found: list[Value] = []
        mets = self._met(at_output, blocks)
        for part, met in zip(self._split(x, blocks), mets, strict=True):
            flat = writer.add("Reshape", part, writer.ints(-1, self._channels))
            start = () if learned else (weight,)
            learned.append(writer.add("Gemm", flat, met, *start, transA=1, alpha=-rate))
            after = self._after(learned[-1])
            found.append(writer.add("Gemm", met, weight, after, transB=1, beta=0.0))
        total = writer.add("Sum", *learned) if len(learned) > 1 else learned[0]
        return total, self._joined(found, blocks)

    def _blocks(self) -> list[slice]:
        """Pixels whose patches are gathered at once."""
        kernel = self._kernel
        numbers = self._pixels * kernel**2 * self._filters
        count = -(-numbers // _BLOCK) if kernel > 1 else 1
        ends = np.linspace(0, self._pixels, count + 1).astype(int)
        return [slice(int(start), int(end)) for start, end in pairwise(ends)]

    def _met(self, at_output: Value, blocks: list[slice]) -> list[Value]:
        """The patches of each block, (images * pixels, places * filters)."""
        filters, kernel = self._filters, self._kernel
        if kernel == 1:
            return [self._writer.add("Reshape", at_output, self._writer.ints(-1, filters))]
        rows, count = self._rows_met(at_output, filters), self._pixels + 1
        return [
            take_beside(self._writer, rows, self._column[block], count, kernel * filters)
            for block in blocks
        ]

    def _rows_met(self, x: Value, channels: int) -> Value:
        """What the kernel's middle row meets, and zeros: (images, pixels + 1, kernel * channels).

        From these the whole patches are gathered with fewer, longer copies.
        """
        kernel, count = self._kernel, self._pixels
        row = self._table[:, kernel * (kernel // 2) :][:, :kernel]
        taken = take(self._writer, x, np.append(row, np.full(kernel, count)), count)
        return self._writer.add(
            "Reshape", taken, self._writer.ints(-1, count + 1, kernel * channels)
        )

    def _after(self, learned: Value) -> Value:
        """What is added zero times, so that a runtime takes both products of a block in turn.

        Else it puts off one, until the block has long left the cache.
        """
        first = self._writer.constant(0, np.int64)
        return self._writer.add("Gather", learned, first, axis=1)

    def _split(self, x: Value, blocks: list[slice]) -> tuple[Value, ...]:
        if len(blocks) == 1:
            return (x,)
        sizes = self._writer.ints(*(block.stop - block.start for block in blocks))
        return self._writer.split("Split", len(blocks), x, sizes, axis=1)

    def _joined(self, found: list[Value], blocks: list[slice]) -> Value:
        maps = [
            self._writer.add(
                "Reshape", rows, self._writer.ints(-1, block.stop - block.start, self._channels)
            )
            for rows, block in zip(found, blocks, strict=True)
        ]
        return self._writer.add("Concat", *maps, axis=1) if len(maps) > 1 else maps[0]
