"""A random network becomes a file, which is checked and compared with torch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from metanas.deploy import NEWEST_OPSET, OLDEST_OPSET, compare, export_onnx
from metanas.errors import MetanasError
from metanas.spaces import SPACES, make_space
from support.random_networks import WAYS, make_card, random_network

SHAPES = ((1, 28, 28), (3, 32, 32), (3, 84, 84), (3, 33, 41))
DOWNSAMPLINGS = ("pooled", "strided")
POOLS = (1, 2, 5)
BATCHES = (None, 1, 8)
IMAGES = 16


@dataclass(frozen=True)
class Outcome:
    """What was drawn, and how far the file is from torch as a share of the logits' range."""

    number: int
    space: str
    input: str
    downsampling: str
    pool: int
    opset: int
    batch: int | None
    architecture: str
    seconds: float
    size_bytes: int = 0
    difference: float = 1.0
    top1: float = 0.0
    failure: str = ""


def try_network(seed: int, number: int) -> Outcome:
    """Make, export and compare one network; all of it follows from the two numbers."""
    rng = np.random.default_rng((seed, number))
    name = sorted(SPACES)[number % len(SPACES)]
    shape = SHAPES[rng.integers(len(SHAPES))]
    downsampling = DOWNSAMPLINGS[rng.integers(len(DOWNSAMPLINGS))]
    pool = POOLS[rng.integers(len(POOLS))]
    if name == "cells":  # it has neither switch
        downsampling, pool = "reduction cells", 1
        space = make_space(name, input_shape=shape, ways=WAYS)
    else:
        switches = {"downsampling": downsampling, "pool": pool}
        space = make_space(name, input_shape=shape, ways=WAYS, **switches)
    architecture = str(space.from_genes(space.sample(1, rng)[0]))
    opset = int(rng.integers(OLDEST_OPSET, NEWEST_OPSET + 1))
    batch = BATCHES[rng.integers(len(BATCHES))]
    module = random_network(space, architecture, seed=number)
    outcome = partial(
        Outcome,
        number=number,
        space=name,
        input="x".join(map(str, shape)),
        downsampling=downsampling,
        pool=pool,
        opset=opset,
        batch=batch,
        architecture=architecture,
    )
    begin = time.perf_counter()
    try:
        model = export_onnx(
            module,
            input_shape=shape,
            metadata=make_card(architecture, channels=shape[0]),
            batch=batch,
            opset=opset,
        )
        seconds = round(time.perf_counter() - begin, 2)
        proto = onnx.load_model_from_string(model)
        onnx.checker.check_model(proto, full_check=True)
        onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
        images = rng.standard_normal((IMAGES, *shape), np.float32)
        with torch.no_grad():
            expected = module(torch.from_numpy(images)).numpy()
        agreement = compare([(expected, _run(model, images, batch or IMAGES))])
        failure = "" if agreement.within else f"differs by {agreement.largest_share:.1e}"
    except (
        MetanasError,
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
    ) as error:
        return outcome(seconds=round(time.perf_counter() - begin, 2), failure=str(error))
    return outcome(
        seconds=seconds,
        size_bytes=len(model),
        difference=agreement.largest_share,
        top1=agreement.top1,
        failure=failure,
    )


def _run(model: bytes, images: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parts = [images[begin : begin + batch] for begin in range(0, len(images), batch)]
    return np.concatenate([session.run(["logits"], {"images": part})[0] for part in parts])
