"""Networks in every opset, for `opsets_run.py` to run on other releases of ONNX Runtime.

    python benchmarks/opset_files.py FOLDER

Together they hold every operator of the spaces. `NAME.npy` has what torch computes of `images.npy`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from metanas.deploy import NEWEST_OPSET, OLDEST_OPSET, export_onnx
from metanas.spaces import make_space
from support.random_networks import INPUT_SHAPE, WAYS, make_card, random_network

NETWORKS = {
    "chain": ("vgg9", "k3c16relu-k5c16relu6-k1c32selu-k3c16leakyrelu"),
    "short": ("vgg9", "k3c16elu-k5c16sigmoid"),
    "residual": ("resnet12", "k3c8relu-k1c16elu-k5c8selu-k3c16sigmoid-k1c16relu6-k3c32leakyrelu"),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(0).standard_normal((4, *INPUT_SHAPE), np.float32)
    np.save(folder / "images.npy", images)
    for name, (space, text) in NETWORKS.items():
        module = random_network(make_space(space, input_shape=INPUT_SHAPE, ways=WAYS), text)
        with torch.no_grad():
            np.save(folder / f"{name}.npy", module(torch.from_numpy(images)).numpy())
        card = make_card(text)
        for opset in range(OLDEST_OPSET, NEWEST_OPSET + 1):
            model = export_onnx(module, input_shape=INPUT_SHAPE, metadata=card, opset=opset)
            (folder / f"{name}-{opset}.onnx").write_bytes(model)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
