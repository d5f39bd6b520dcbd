"""Emulated boards: an ARMv6 one like a Pi Zero, and a 64-bit one like a Pi 4.

Others have this machine's own architecture, so that newer Pythons are tried fast.

`pytest -m boards` runs their tests, as root. Their root file systems are built once and kept in
`METANAS_BOARDS` (default: `metanas/boards` in the user's cache folder); their packages come from
`METANAS_DEBIAN_MIRROR` (default: debootstrap's).
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from boards.binfmt import foreign_programs
from boards.board import Board, running_board
from boards.laptop import Laptop
from boards.rootfs import BoardsUnavailableError, Recipe

_TOOLS = ("debootstrap", "dpkg-deb", "ip", "mount", "nsenter", "setpriv", "ssh", "ssh-keygen",
          "tar", "unshare")  # fmt: skip
_CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def _pinned(*names: str) -> tuple[str, ...]:
    text = _CONSTRAINTS.read_text()
    return tuple(re.search(rf"^{name}==\S+$", text, re.M)[0] for name in names)


ARMEL = Recipe("armel", cpu="arm1176")
ARM64 = Recipe(
    "arm64",
    cpu="cortex-a72",
    wheels=_pinned("numpy", "onnx", "onnxruntime", "pillow"),
    wheel_platform="manylinux_2_28_aarch64",
)

NewBoard = Callable[[str, Recipe], AbstractContextManager[Board]]


@pytest.fixture(scope="session")
def new_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewBoard]:
    """Makes another board, new and running; skips where boards cannot be emulated."""
    if os.geteuid():
        pytest.skip("emulated boards need root, for namespaces and binfmt_misc")
    if missing := [tool for tool in _TOOLS if not shutil.which(tool)]:
        pytest.skip(f"emulated boards need {', '.join(missing)}")

    @contextmanager
    def make(name: str, recipe: Recipe) -> Iterator[Board]:
        with ExitStack() as running:
            try:
                folder = tmp_path_factory.mktemp(name)
                board = running.enter_context(running_board(name, recipe, folder))
            except BoardsUnavailableError as error:
                pytest.skip(f"no {recipe.architecture} board of {recipe.suite}: {error}")
            yield board

    with ExitStack() as stack:
        try:
            stack.enter_context(foreign_programs("qemu-arm", "qemu-aarch64"))
        except BoardsUnavailableError as error:
            pytest.skip(f"no emulated boards: {error}")
        yield make


@pytest.fixture(scope="module")
def armel_board(new_board: NewBoard) -> Iterator[Board]:
    """Like a Pi Zero; one for a whole module."""
    with new_board("pi0", ARMEL) as board:
        yield board


@pytest.fixture(scope="module")
def arm64_board(new_board: NewBoard) -> Iterator[Board]:
    """Like a Pi 4, with onnxruntime; one for a whole module."""
    with new_board("pi4", ARM64) as board:
        yield board


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """Whose user pairs with the boards; one for a whole module."""
    return Laptop(tmp_path_factory.mktemp("laptop"))


@pytest.fixture
def new_laptop(tmp_path: Path) -> Laptop:
    """A user who has paired with nothing yet."""
    return Laptop(tmp_path)


@pytest.fixture(scope="module")
def pi0(laptop: Laptop, armel_board: Board) -> Board:
    """The ARMv6 board, paired."""
    laptop.pair(armel_board)
    return armel_board


@pytest.fixture(scope="module")
def pi4(laptop: Laptop, arm64_board: Board) -> Board:
    """The 64-bit board, paired."""
    laptop.pair(arm64_board, "--profile", "pi4")  # it has no device tree that would say so
    return arm64_board
