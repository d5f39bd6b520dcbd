"""The opsets in which an ONNX Runtime runs our networks; `metanas.deploy.opset` has the table.

    python benchmarks/opsets_run.py FOLDER

FOLDER is what `opset_files.py` has written. This needs nothing but the onnxruntime in question and
numpy. A file is run if its outputs are torch's, to 1e-5 of their range.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime


def main(folder: Path) -> None:
    images = np.load(folder / "images.npy")
    for truth in sorted(folder.glob("*.npy")):
        if truth.stem == "images":
            continue
        expected = np.load(truth)
        files = {int(f.stem.rpartition("-")[2]): f for f in folder.glob(f"{truth.stem}-*.onnx")}
        run = [opset for opset, file in sorted(files.items()) if agrees(file, images, expected)]
        print(f"onnxruntime {onnxruntime.__version__}: {truth.stem}: opsets {run}")


def agrees(file: Path, images: np.ndarray, expected: np.ndarray) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        (given,) = session.run(None, {"images": images})
    except Exception:  # onnxruntime's exceptions share no base class
        return False
    return bool(np.abs(given - expected).max() <= 1e-5 * np.ptp(expected))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
