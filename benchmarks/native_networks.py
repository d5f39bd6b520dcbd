"""Whole networks as native programs: build time, size, agreement, and (on x86) speed.

    python benchmarks/native_networks.py [--target NAME]... [--networks 5] [--cold] [--json]

Random networks of each space, with random weights, are built for each target and run on one image,
by an emulator where this machine is of another kind. `difference` is the largest one from ONNX
Runtime's output on this machine, as a share of its largest value: at most 1e-4 is wanted. Where
the target is this machine, `ratio` is the program's time by ONNX Runtime's, both on one thread,
measured in turns. `--cold` starts from an empty cache, so that a target's first build compiles
zig's run-time library too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from metanas.native import Artifact, build_network_program, find_target
from support.native_program import Array, NativeProgram
from support.sampled_networks import relative_difference, run_native, run_onnx, sampled_network

SPACES = ("vgg9", "resnet12")
CASES = (
    ((1, 28, 28), "pooled"),
    ((3, 84, 84), "pooled"),
    ((3, 33, 41), "strided"),
    ((1, 28, 28), "strided"),
    ((3, 32, 32), "pooled"),
)
TURNS = 30
TURN_MS = 10.0


@dataclass(frozen=True)
class Result:
    target: str
    space: str
    input: str
    downsampling: str
    build_s: float
    size_bytes: int
    difference: float
    ratio: float | None


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.cold:
            os.environ["METANAS_CACHE"] = folder
        results = []
        for target, space, seed in product(arguments.target, SPACES, range(arguments.networks)):
            results.append(measure(target, space, seed))
            if not arguments.json:
                print(describe(results[-1]), flush=True)
    if arguments.json:
        print(json.dumps([asdict(result) for result in results], indent=2))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build and compare native networks.")
    parser.add_argument("--target", action="append", help="may be repeated (all by default)")
    parser.add_argument("--networks", type=int, default=len(CASES), help="of each space")
    parser.add_argument("--cold", action="store_true", help="start from an empty cache")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    arguments.target = arguments.target or ["x86-64", "aarch64", "armv7", "armv6"]
    return arguments


def measure(target_name: str, space: str, seed: int) -> Result:
    shape, downsampling = CASES[seed % len(CASES)]
    model = sampled_network(space, seed, shape, downsampling=downsampling)
    target = find_target(target_name)
    start = time.perf_counter()
    artifact = build_network_program(model, target)
    build_s = time.perf_counter() - start
    image = np.random.default_rng(seed).standard_normal(shape, np.float32)
    expected = run_onnx(model, image)
    return Result(
        target=target.name,
        space=space,
        input="x".join(map(str, shape)),
        downsampling=downsampling,
        build_s=round(build_s, 2),
        size_bytes=artifact.size_bytes,
        difference=relative_difference(run_native(artifact, image), expected),
        ratio=None if target.emulator else round(time_ratio(artifact, model, image), 3),
    )


def time_ratio(artifact: Artifact, model: bytes, image: Array) -> float:
    """The program's time by ONNX Runtime's: the median over turns that follow each other."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    feeds = {session.get_inputs()[0].name: image[None]}

    def by_runtime(calls: int) -> float:
        start = time.perf_counter()
        for _ in range(calls):
            session.run(None, feeds)
        return (time.perf_counter() - start) * 1e3 / calls

    with NativeProgram(artifact.path) as program:
        program.send(b"input\n" + image.tobytes())
        program.read_line()

        def by_program(calls: int) -> float:
            return int(program.ask(f"run {calls}").split()[1]) / 1e6 / calls

        calls = max(1, round(TURN_MS / by_runtime(3)))
        return statistics.median(by_program(calls) / by_runtime(calls) for _ in range(TURNS))


def describe(result: Result) -> str:
    ratio = "" if result.ratio is None else f"  {result.ratio:.2f} x ONNX Runtime"
    return (
        f"{result.target:10} {result.space:9} {result.input:8} {result.downsampling:8}"
        f" built in {result.build_s:5.1f} s  {result.size_bytes / 1e3:8.0f} kB"
        f"  difference {result.difference:.1e}{ratio}"
    )


if __name__ == "__main__":
    main()
