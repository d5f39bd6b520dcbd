"""A network of cells written down slowly, for one task, as the papers describe it.

What `metanas.spaces.cells` computes for a batch of tasks must equal this. They share no code.
"""

import torch
from torch.nn import functional as F


def plain_cells(architecture, cells, weights, norms, images):
    """Logits of images (images, channels, height, width).

    Args:
        architecture: both cells, as text.
        cells: how many stand behind each other.
        weights: by name, without a task dimension.
        norms: batch-norm's scales and shifts, by name.
        images: that are normalised by their own statistics.
    """
    kinds = [
        [[edge.split("@") for edge in node.split("+")] for node in cell.split(",")]
        for cell in architecture.split(":")
    ]

    def conv(x, name, **options):
        return F.conv2d(x, weights[f"{name}.weight"], **options)

    def norm(x, name):
        scale, shift = norms[f"{name}.scale"], norms[f"{name}.shift"]
        return F.batch_norm(x, None, None, scale, shift, training=True)

    def pointwise(x, name):
        return norm(conv(x, name), name)

    def half(x, name):
        """Every second pixel, and those between them, through a filter of their own each."""
        weight = weights[f"{name}.weight"]
        few = len(weight) // 2
        further = x
        further = further[:, :, 1:] if x.shape[2] % 2 == 0 else further
        further = further[:, :, :, 1:] if x.shape[3] % 2 == 0 else further
        parts = [
            F.conv2d(x, weight[:few], stride=2),
            F.conv2d(further, weight[few:], stride=2),
        ]
        return norm(torch.cat(parts, 1), name)

    def operation(kind, x, name, stride):
        if kind == "skip":
            return x if stride == 1 else half(x.relu(), f"{name}.conv")
        if kind == "maxpool3x3":
            return F.max_pool2d(x, 3, stride, 1)
        if kind == "avgpool3x3":
            ones = torch.ones_like(x[:, :1])
            area = F.avg_pool2d(ones, 3, stride, 1)
            return F.avg_pool2d(x, 3, stride, 1) / area
        x, channels = x.relu(), x.shape[1]
        if kind == "conv3x3":
            return norm(conv(x, f"{name}.conv", stride=stride, padding=1), f"{name}.conv")
        if kind == "conv1x5-5x1":
            x = conv(x, f"{name}.row", stride=stride, padding=(0, 2))
            return norm(conv(x, f"{name}.column", padding=(2, 0)), f"{name}.column")
        options = {"stride": stride, "groups": channels}
        if kind == "dilconv3x3":
            x = conv(x, f"{name}.depth", padding=2, dilation=2, **options)
            return pointwise(x, f"{name}.point")
        x = pointwise(conv(x, f"{name}.depth0", padding=1, **options), f"{name}.point0").relu()
        x = conv(x, f"{name}.depth1", padding=1, groups=channels)
        return pointwise(x, f"{name}.point1")

    x = conv(images, "stem.conv", padding=1)
    before = previous = norm(x, "stem.conv")
    for number in range(cells):
        reduction = number % 2
        maps = []
        for which, x in enumerate((before, previous)):
            begin = pointwise if x.shape[2:] == previous.shape[2:] else half
            maps.append(begin(x.relu(), f"cell{number}.input{which}.conv"))
        for node in kinds[reduction]:
            total = 0
            for kind, read in node:
                name = f"cell{number}.edge{read}to{len(maps)}.{kind}"
                stride = 2 if reduction and int(read) < 2 else 1
                total = total + operation(kind, maps[int(read)], name, stride)
            maps.append(total)
        before, previous = previous, torch.cat(maps[2:], 1)
    features = previous.mean((2, 3))
    return features @ weights["head.weight"].flatten(1).T + weights["head.bias"]
