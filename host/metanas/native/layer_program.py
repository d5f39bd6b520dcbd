"""A board's layer program: one static program that times any layer of the spaces."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from metanas.native.cache import (
    Artifact,
    build_cached,
    harness_digest,
    harness_folder,
    tvm_version,
)
from metanas.native.targets import Target
from metanas.native.toolchain import Toolchain, find_toolchain
from metanas_agent.layers import ACTIVATIONS

if TYPE_CHECKING:
    from metanas.native.kernels import ConvolveVariant

_SOURCES = (
    "harness.c",
    "shim.c",
    "system.c",
    "layers.c",
    "convolution.c",
    "tiling.c",
    "unblock.c",
    "add.c",
    "head.c",
    "empty.c",
)
_GENERATORS = (
    "activations.py",
    "codegen.py",
    "kernels.py",
    "layer_program.py",
    "short_vector_activations.py",
    "short_vectors.py",
    "targets.py",
    "tile_kernels.py",
)
_POOLS = (1, 2, 0)  # 0 serves every window


@dataclass(frozen=True, slots=True)
class KernelSet:
    """What a layer program serves.

    Args:
        kernels: sides of the convolutions' windows.
        strides: of the convolutions.
        activations: by name.
    """

    kernels: tuple[int, ...] = (1, 3, 5, 7)
    strides: tuple[int, ...] = (1, 2)
    activations: tuple[str, ...] = ("none", *ACTIVATIONS)


def build_layer_program(target: Target, kernel_set: KernelSet | None = None) -> Artifact:
    """Compile a target's layer program, or find it in the cache.

    Args:
        kernel_set: what it serves; by default every layer of the search spaces.

    Raises:
        NativeUnavailableError: TVM is not installed.
        ToolchainMissingError: no compiler for the target is installed.
        CompilationError: the compiler failed.
        NativeError: the cache cannot be written.
    """
    wanted = kernel_set or KernelSet()
    toolchain = find_toolchain(target)
    configuration = {
        "kind": "layers",
        "target": target.name,
        "kernels": list(wanted.kernels),
        "strides": list(wanted.strides),
        "activations": list(wanted.activations),
        "generator": _generator_digest(),
        "harness": harness_digest(),
        "tvm": tvm_version(),
        "toolchain": toolchain.configuration,
    }
    return build_cached(configuration, lambda path: _build(wanted, target, toolchain, path))


def _build(wanted: KernelSet, target: Target, toolchain: Toolchain, path: Path) -> None:
    # TVM takes seconds to import, and what is in the cache needs none of it.
    from metanas.native import kernels  # noqa: PLC0415
    from metanas.native.codegen import write_curves, write_kernels  # noqa: PLC0415

    variants = [
        kernels.ConvolveVariant(kernel, stride, blocks, pixels)
        for kernel, stride, (blocks, pixels) in product(
            wanted.kernels, wanted.strides, target.tiles
        )
    ]
    finishes = list(product(wanted.activations, _POOLS))
    functions = {
        **{variant.symbol: kernels.convolve(variant, target) for variant in variants},
        **{_symbol(name, pool): kernels.finish(name, pool, target) for name, pool in finishes},
        **{f"activate_{name}": kernels.activate_all(name, target) for name in wanted.activations},
        "classify": kernels.classify(target),
    }
    folder = path.parent
    written = write_kernels(functions, target, folder)
    if target.short_vectors:
        written += write_curves(wanted.activations, folder)
    table = folder / "table.c"
    text = _table(target, wanted, variants, finishes, functions)
    table.write_text(text, encoding="utf-8")
    (folder / "target.h").write_text(_sizes(target, kernels.LINEAR_VECTORS), encoding="utf-8")
    harness = harness_folder()
    sources = [*written, table, *(harness / name for name in _SOURCES)]
    toolchain.link(sources, path, include=[harness, folder])


def _symbol(activation: str, pool: int) -> str:
    return f"finish_{activation}_p{pool}"


def _sizes(target: Target, linear_vectors: int) -> str:
    """The C header that tells the harness what the kernels were made for."""
    return (
        f"#define LANES {target.lanes}\n"
        f"#define CHANNEL_BLOCK {target.channel_block}\n"
        f"#define CLASSIFY_VECTORS {linear_vectors}\n"
        f"#define STRIP_FLOATS {target.strip_floats}\n"
        f"#define SHORT_VECTORS {int(target.short_vectors)}\n"
    )


def _table(
    target: Target,
    wanted: KernelSet,
    variants: Iterable[ConvolveVariant],
    finishes: Iterable[tuple[str, int]],
    symbols: Iterable[str],
) -> str:
    """The C source that lists the kernels."""
    declarations = "".join(
        f"int32_t __tvm_ffi_{symbol}(void *, void *, int32_t, void *);\n" for symbol in symbols
    )
    convolve_rows = "".join(
        f"  {{{v.kernel}, {v.stride}, {v.blocks}, {v.pixels}, {step_cost(v, target)},"
        f" __tvm_ffi_{v.symbol}}},\n"
        for v in variants
    )
    finish_rows = "".join(
        f'  {{"{name}", {pool}, __tvm_ffi_{_symbol(name, pool)}}},\n' for name, pool in finishes
    )
    activate_rows = "".join(
        f'  {{"{name}", __tvm_ffi_activate_{name}}},\n' for name in wanted.activations
    )
    return f"""#include "layers.h"
{declarations}
const char layers_title[] = "layers {target.name}";
const struct convolve_kernel convolve_kernels[] = {{
{convolve_rows}}};
const int convolve_kernel_count = sizeof convolve_kernels / sizeof *convolve_kernels;
const struct finish_kernel finish_kernels[] = {{
{finish_rows}}};
const int finish_kernel_count = sizeof finish_kernels / sizeof *finish_kernels;
const struct activate_kernel activate_kernels[] = {{
{activate_rows}}};
const int activate_kernel_count = sizeof activate_kernels / sizeof *activate_kernels;
const tvm_kernel classify_kernel = __tvm_ffi_classify;
"""


def step_cost(variant: ConvolveVariant, target: Target) -> int:
    """What a window column costs a register tile, in hundredths of an instruction.

    Multiplications take at least the time that one needs to give its result; pixels are loaded
    once for the whole width of the window.
    """
    vectors = target.channel_block // target.lanes
    multiplications = variant.blocks * variant.pixels * vectors
    pixels = variant.pixels + (variant.kernel - 1) * variant.stride
    loads = pixels / variant.kernel + variant.blocks * vectors
    return round(100 * (max(multiplications, target.latency) + loads * target.load_cost))


def _generator_digest() -> str:
    """SHA-256 over the modules that write a program: it is built again when one changes."""
    digest = hashlib.sha256()
    for name in _GENERATORS:
        digest.update(f"{name}\0".encode())
        digest.update((resources.files("metanas.native") / name).read_bytes())
    return digest.hexdigest()
