"""The processor that tensors live on: the CPU, or one NVIDIA GPU."""

from __future__ import annotations

from typing import Literal

import torch

from metanas.errors import AcceleratorError

Accelerator = Literal["cpu", "cuda"]


def open_accelerator(name: Accelerator) -> torch.device:
    """PyTorch's device of that name, set up so that training can be relied upon.

    On a GPU, convolutions may then neither round their inputs to TF32, which leaves little of a
    second-order meta-gradient, nor choose algorithms that add up in another order each time.

    Raises:
        AcceleratorError: PyTorch finds no such device here.
    """
    if name == "cuda":
        if not torch.cuda.is_available():
            raise AcceleratorError(
                f"PyTorch {torch.__version__} finds no CUDA device on this machine",
                hint="use --accelerator cpu, or install the driver and a CUDA build of PyTorch",
            )
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
    return torch.device(name)
