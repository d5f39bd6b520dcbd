"""Instructions that a board's layer program executes, counted exactly by QEMU's user emulation."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from metanas.native import Target
from metanas_agent.layers import LayerSpec
from support.native_program import words

PLUGIN_SOURCE = Path(__file__).with_name("instruction_counter.c")
PLUGIN_VERSIONS = range(1, 7)
FEW_MACS = 1_000_000


class NoCounterError(Exception):
    """Nothing here can count; the text says what is missing."""


def counting_emulator(target: Target, program: Path, folder: Path) -> list[str]:
    """The command that runs the program and counts, with a plugin built for this emulator.

    Args:
        target: that the program was built for.
        program: a layer program.
        folder: the plugin goes here.

    Raises:
        NoCounterError: without an emulator that takes plugins, or a C compiler.
    """
    name, *arguments = target.emulator
    emulator = shutil.which(name.removesuffix("-static"))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if emulator is None or compiler is None:
        raise NoCounterError("needs qemu-user and a C compiler: apt install qemu-user gcc")
    for version in PLUGIN_VERSIONS:
        plugin = folder / f"counter{version}.so"
        flags = ["-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={version}"]
        subprocess.run([compiler, *flags, str(PLUGIN_SOURCE), "-o", str(plugin)], check=True)
        command = [emulator, *arguments, "-plugin", str(plugin), str(program)]
        done = subprocess.run(command, input=b"", capture_output=True, check=False)
        if b"instructions" in done.stderr:
            return command
    raise NoCounterError(f"{emulator} does not take the plugin: {done.stderr.decode().strip()}")


def instructions_per_mac(command: list[str], layer: LayerSpec) -> float:
    """Of a run of the layer; what precedes the runs is not counted.

    Args:
        command: of `counting_emulator`.
        layer: with multiply-accumulates.
    """
    calls = max(1, FEW_MACS // layer.macs)  # what a call prints differs by a few hundred
    spent = _instructions(command, layer, 1 + calls) - _instructions(command, layer, 1)
    return spent / calls / layer.macs


def _instructions(command: list[str], layer: LayerSpec, calls: int) -> int:
    lines = f"layer {words(layer)} 1\nrun {calls}\n"
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    found = re.search(r"instructions (\d+)", done.stderr)
    if not found or "ns " not in done.stdout:
        raise RuntimeError(f"{layer.key}: {done.stdout} {done.stderr}")
    return int(found[1])
