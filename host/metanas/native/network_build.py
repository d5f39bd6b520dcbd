"""The way of a network from ONNX to a static program, step by step. It imports TVM, slowly."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metanas.errors import CompilationError, NativeBuildError, NativeError
from metanas.native.cache import harness_folder
from metanas.native.codegen import write_kernels
from metanas.native.network_lowering import lower_network
from metanas.native.network_model import NetworkModel
from metanas.native.network_program import NetworkProgram
from metanas.native.network_reading import read_program
from metanas.native.network_schedule import schedule_kernel
from metanas.native.network_source import (
    kernel_symbols,
    network_source,
    pack_weights,
    weights_assembly,
)
from metanas.native.targets import Target
from metanas.native.toolchain import Toolchain

_HARNESS_SOURCES = ("harness.c", "shim.c", "system.c", "network.c")
_UNDEFINED = re.compile(r"undefined (?:symbol: |reference to [`'])(\w+)")
_HINT = "replace the operator, or run the network on a board that has ONNX Runtime"
_LONGEST_MESSAGE = 300


def build_network(model: NetworkModel, target: Target, toolchain: Toolchain, path: Path) -> None:
    """Write the program to `path`, and what it is made of beside it.

    Raises:
        NativeBuildError: TVM cannot compile the network.
        CompilationError: the compiler failed.
    """
    folder = path.parent
    with _tvm_errors():
        module = lower_network(model, target)
        program = read_program(module)
        symbols = kernel_symbols(program)
        scheduled = {
            symbol: schedule_kernel(module[name], target) for name, symbol in symbols.items()
        }
        kernels = write_kernels(scheduled, target, folder)
    weights, offsets = _write_weights(program, folder)
    calls = folder / "calls.c"
    title = " ".join(map(str, ["network", target.name, *model.image_shape, program.output_count]))
    text = network_source(program, symbols, offsets, title=title)
    calls.write_text(text, encoding="utf-8")
    harness = harness_folder()
    sources = [*kernels, calls, weights, *(harness / name for name in _HARNESS_SOURCES)]
    with _missing_functions():
        toolchain.link(sources, path, include=[harness])


def _write_weights(program: NetworkProgram, folder: Path) -> tuple[Path, dict[int, int]]:
    """The assembler file of the weights, and the offset of each constant."""
    packed, offsets = pack_weights(program)
    data, assembly = folder / "weights.bin", folder / "weights.S"
    data.write_bytes(packed)
    assembly.write_text(weights_assembly(data), encoding="utf-8")
    return assembly, offsets


@contextmanager
def _tvm_errors() -> Iterator[None]:
    """TVM's importer and passes raise what comes to mind; the last line says what it is about."""
    try:
        yield
    except (NativeError, OSError):
        raise
    except Exception as error:  # its errors have no common root
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1][:_LONGEST_MESSAGE] if lines else type(error).__name__
        raise NativeBuildError(f"TVM cannot compile this network: {reason}", hint=_HINT) from error


@contextmanager
def _missing_functions() -> Iterator[None]:
    """A function that is missing is the network's matter, not the compiler's."""
    try:
        yield
    except CompilationError as error:
        missing = sorted(set(_UNDEFINED.findall(str(error))))
        if not missing:
            raise
        raise NativeBuildError(
            f"the network needs {', '.join(missing)}, of a C library, which native programs lack",
            hint=_HINT,
        ) from error
