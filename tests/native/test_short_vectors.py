"""Assembler for VFP short vectors: every tile and curve, under an emulator that has them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tvm", reason="needs apache-tvm: pip install 'metanas[native]'")

from metanas.native import KernelSet, build_layer_program, find_target
from metanas.native.cache import harness_folder
from metanas.native.codegen import write_curves
from metanas.native.short_vector_activations import CURVES, Curve
from metanas.native.short_vectors import MOST_PIXELS, Tile, assembly
from metanas.native.toolchain import find_toolchain
from metanas_agent.layers import ConvLayer
from support.layer_reference import check_layer
from support.native_program import Array, NativeProgram
from support.reference_activations import activated

WITH, WITHOUT = "arm1176", "cortex-a15"  # processors for the emulator
VALUES = 4096
DRIVER = f"""
#include "system.h"
#include "vectors.h"

static float values[{VALUES}], results[{VALUES}];

int main(void) {{
  char *next = (char *)values;
  for (long left = sizeof values, done; left > 0; next += done, left -= done)
    if ((done = system_read(0, next, (size_t)left)) <= 0) return 1;
  for (int i = 0; i < curve_count; i++) {{
    curves[i].run(values, results, {VALUES}, {VALUES} / 4, curves[i].table);
    system_write(1, results, sizeof results);
  }}
  return 0;
}}
"""


@pytest.fixture(scope="module")
def program() -> Path:
    return build_layer_program(find_target("armv6"), KernelSet()).path


@pytest.fixture(params=[WITH, WITHOUT], scope="module")
def running(request: pytest.FixtureRequest, program: Path) -> Iterator[NativeProgram]:
    """The program on a processor with short vectors, and on one without."""
    with NativeProgram(program, (emulator(), "-cpu", request.param)) as started:
        yield started


def emulator() -> str:
    name = find_target("armv6").emulator[0]
    if shutil.which(name) is None:
        pytest.skip(f"needs {name}: apt install qemu-user-static")
    return name


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2])
def test_tiles_of_every_width(running: NativeProgram, kernel: int, stride: int) -> None:
    for width in (1, 2, 3, 4, 9):
        for channels in (1, 3, 35):  # 35: sums go on from those of the channels before
            check_layer(running, ConvLayer(channels, 3, width * stride, 5, kernel, stride, "none"))


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_curves_finish_rows_that_are_and_are_not_wider_than_the_map(
    running: NativeProgram, curve: Curve
) -> None:
    for width in (4, 8, 9, 14, 11):
        for stride in (1, 2):
            check_layer(running, ConvLayer(1, 9, width, 6, 3, stride, curve.name))


@pytest.fixture(scope="module")
def values() -> Array:
    sizes = (0, 1e-30, 1e-6, 1 / 32, 1 / 8, 16, 32, 33, 87, 1e3, 1e6, 1e9, 1e30)
    edges = [sign * size for sign in (-1, 1) for size in sizes]
    far = np.linspace(-90, 90, 1024 - len(edges))
    return np.array([*edges, *far, *np.linspace(-6, 6, VALUES - 1024)], np.float32)


@pytest.fixture(scope="module")
def curve_outputs(values: Array, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    """What the routines make of the values: they write four planes by turns."""
    folder = tmp_path_factory.mktemp("curves")
    driver = folder / "driver.c"
    driver.write_text(DRIVER, encoding="utf-8")
    sources = [driver, *write_curves([curve.name for curve in CURVES], folder)]
    built = folder / "program"
    find_toolchain(find_target("armv6")).link(
        [*sources, harness_folder() / "system.c"], built, include=[harness_folder(), folder]
    )
    command = [emulator(), "-cpu", WITH, str(built)]
    done = subprocess.run(command, input=values.tobytes(), capture_output=True, check=True)
    results = np.frombuffer(done.stdout, "<f4").reshape(len(CURVES), 4, VALUES // 4)
    return {curve.name: planes.T.ravel() for curve, planes in zip(CURVES, results, strict=True)}


@pytest.mark.parametrize("curve", CURVES, ids=lambda curve: curve.name)
def test_curves_of_any_finite_value(
    curve: Curve, values: Array, curve_outputs: dict[str, Array]
) -> None:
    wanted = activated(curve.name, values.astype(np.float64))
    np.testing.assert_allclose(curve_outputs[curve.name], wanted, rtol=1e-6, atol=2.5e-7)


def test_every_pixel_and_weight_is_loaded_once() -> None:
    """Counted in the code: a column too many would be read from behind the image."""
    for kernel in (1, 3, 5, 7):
        for stride in (1, 2):
            for pixels in range(1, MOST_PIXELS + 1):
                tile = Tile(kernel, stride, pixels)
                loop = assembly([tile]).partition("\n2:\n")[2].partition("\nbne 2b\n")[0]
                assert loaded(loop, "r12") == kernel * tile.columns
                assert loaded(loop, "r10") == 4 * kernel**2
                assert loop.count("vmla") == kernel**2 * pixels


def loaded(code: str, base: str) -> int:
    total = 0
    for line in code.splitlines():
        if line.startswith(f"vldmia {base}!"):
            first, _, last = line.partition("{")[2].rstrip("}").partition("-")
            total += int((last or first)[1:]) - int(first[1:]) + 1
    return total
