"""Toolchain: the compiler that links a target's programs, found on this machine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from metanas.errors import CompilationError, ToolchainMissingError
from metanas.files import cache_folder
from metanas.native.targets import CompilerChoice, Target

COMMON_FLAGS = (
    "-O3",
    "-g0",
    "-std=gnu11",
    "-fno-sanitize=undefined",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fno-stack-protector",
    "-Wno-unused-command-line-argument",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections",
    "-static",
    "-s",
)
"""What every program is compiled and linked with."""
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler and linker for one target.

    Args:
        command: what is started, flags included.
        libraries: what is linked last.
        version: what the compiler calls itself; part of what names an artifact in the cache.
    """

    command: tuple[str, ...]
    libraries: tuple[str, ...]
    version: str

    def link(self, sources: Sequence[Path], program: Path, *, include: Sequence[Path] = ()) -> None:
        """Compile C, assembler and object files into one static program.

        Raises:
            CompilationError: the compiler refused; the message is the compiler's.
        """
        folders = (f"-I{folder}" for folder in include)
        files = map(str, sources)
        run_compiler([*self.command, *folders, *files, *self.libraries, "-o", str(program)])

    @property
    def configuration(self) -> dict[str, str | list[str]]:
        """What a program depends on; paths of this machine are left out."""
        name, *flags = self.command
        return {
            "compiler": Path(name).name,
            "version": self.version,
            "flags": [*flags, *self.libraries],
        }


def find_toolchain(target: Target) -> Toolchain:
    """The first of the target's compilers that this machine has.

    Raises:
        ToolchainMissingError: it has none of them.
    """
    for choice in target.compilers:
        if (command := _command(choice)) is not None:
            flags = (*command[1:], *choice.flags, *COMMON_FLAGS)
            version = _version(command[0], "version" if choice.kind == "zig" else "--version")
            return Toolchain((command[0], *flags), choice.libraries, version)
    wanted = " or ".join(dict.fromkeys(" ".join(choice.command) for choice in target.compilers))
    raise ToolchainMissingError(
        f"no compiler for {target.name}: looked for {wanted}",
        hint="pip install 'metanas[native]' brings zig, which compiles for every target",
    )


def run_compiler(command: Sequence[str]) -> str:
    """Run a compiler and return what it prints.

    Raises:
        CompilationError: it failed.
    """
    name = Path(command[0]).name
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env=_environment(),
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise CompilationError(
            f"{name} cannot be started: {error.strerror}", hint="check its installation"
        ) from error
    if done.returncode:
        message = done.stderr.strip() or f"it ended with status {done.returncode}"
        raise CompilationError(
            f"{name} failed: {message[:_LONGEST_MESSAGE]}",
            hint="check the disk's free space and the compiler's installation",
        )
    return done.stdout


def _environment() -> dict[str, str]:
    """Zig compiles its run-time library once and keeps it: in our cache, whatever HOME is."""
    zig = str(cache_folder() / "native" / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": zig, "ZIG_LOCAL_CACHE_DIR": zig, **os.environ}


def _command(choice: CompilerChoice) -> tuple[str, ...] | None:
    name, *arguments = choice.command
    path = _zig() if choice.kind == "zig" else shutil.which(name)
    return (path, *arguments) if path else None


def _zig() -> str | None:
    """The zig of the package `ziglang`, whose version the project chose; else one on the path."""
    package = importlib.util.find_spec("ziglang")
    if package is not None and package.origin is not None:
        program = Path(package.origin).with_name("zig")
        if program.is_file():
            return str(program)
    return shutil.which("zig")


@cache
def _version(compiler: str, question: str) -> str:
    lines = run_compiler([compiler, question]).splitlines()
    return lines[0].strip() if lines else "unknown"
