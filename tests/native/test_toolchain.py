"""Finding a compiler, and compiling the harness with it."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from metanas.errors import CompilationError, ToolchainMissingError
from metanas.native import find_target, toolchain
from metanas.native.cache import harness_folder
from metanas.native.toolchain import Toolchain, find_toolchain

MAIN = """#include "harness.h"
static bool handle(const char *line) { return false; }
static int run(void) { return 0; }
int main(void) {
  const struct program program = {"test here", handle, run};
  return serve(&program);
}
"""


def link(tools: Toolchain, folder: Path, text: str = MAIN) -> Path:
    source, program = folder / "main.c", folder / "program"
    source.write_text(text)
    harness = harness_folder()
    parts = (harness / name for name in ("harness.c", "system.c"))
    tools.link([source, *parts], program, include=[harness])
    return program


@pytest.fixture
def without_zig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "_zig", lambda: None)


def test_zig_of_the_package_comes_first() -> None:
    pytest.importorskip("ziglang")
    tools = find_toolchain(find_target("armv6"))
    assert "ziglang" in tools.command[0]
    assert re.match(r"0\.\d+\.\d+", tools.version)
    assert tools.configuration["compiler"] == "zig"
    assert "/" not in str(tools.configuration["compiler"])


def test_gcc_is_taken_where_there_is_no_zig(without_zig: None, tmp_path: Path) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    tools = find_toolchain(find_target("x86-64"))
    assert Path(tools.command[0]).name == "gcc"
    done = subprocess.run(
        [link(tools, tmp_path)], input=b"run 1\nhm\nquit\n", capture_output=True, check=True
    )
    assert done.stdout.decode().splitlines() == [
        "metanas-native 1 test here",
        "error nothing to run yet",
        "error unknown command",
    ]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("armv6", "zig cc or arm-linux-gnueabi-gcc"),
        ("armv7", "zig cc or arm-linux-gnueabihf-gcc"),
        ("aarch64", "zig cc or aarch64-linux-gnu-gcc"),
        ("x86-64", "zig cc or gcc"),
    ],
)
def test_no_compiler_is_one_line(
    without_zig: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    wanted: str,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainMissingError, match=f"{wanted}.*pip install 'metanas\\[native\\]'"):
        find_toolchain(find_target(name))


def test_what_the_compiler_says_is_in_the_error(tmp_path: Path) -> None:
    tools = find_toolchain(find_target("x86-64"))
    with pytest.raises(CompilationError, match=r"main\.c:1.*missing_header"):
        link(tools, tmp_path, '#include "missing_header.h"\n')
    with pytest.raises(CompilationError, match="nowhere"):
        link(tools, tmp_path, "int nowhere(void); int main(void) { return nowhere(); }\n")


def test_a_compiler_that_cannot_start_is_an_error(
    without_zig: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "gcc"
    broken.write_text("not a program\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompilationError, match="gcc"):
        find_toolchain(find_target("x86-64"))
