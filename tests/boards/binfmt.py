"""Foreign programs run like the machine's own, for as long as a test session needs them."""

from __future__ import annotations

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from boards.rootfs import BoardsUnavailableError

_KERNEL = Path("/proc/sys/fs/binfmt_misc")
_RULES = Path("/usr/lib/binfmt.d")
_IN_USE = Path("/run/metanas-boards.lock")
_SETTING_UP = Path("/run/metanas-boards-setup.lock")
_MOUNTED_BY_US = "mounted"


@contextmanager
def foreign_programs(*emulators: str) -> Iterator[None]:
    """Have the kernel start the emulators (`qemu-arm`, ...) for programs of their architecture.

    The rules are the distribution's, under names of our own; their flag F keeps the emulator open,
    so that it is found inside a board's root file system as well. Several test sessions share
    them, and the last one takes them away.

    Raises:
        BoardsUnavailableError: an emulator is not installed, or the kernel does not let us.
    """
    with _IN_USE.open("a+") as in_use:
        fcntl.flock(in_use, fcntl.LOCK_SH)
        try:
            with _SETTING_UP.open("a") as setting_up:
                fcntl.flock(setting_up, fcntl.LOCK_EX)
                _mount(in_use)
                for emulator in emulators:
                    _register(emulator)
            yield
        finally:
            with suppress(BlockingIOError):
                fcntl.flock(in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _remove_rules(in_use)


def _mount(in_use: IO[str]) -> None:
    if (_KERNEL / "register").exists():
        return
    try:
        subprocess.run(
            ["mount", "-t", "binfmt_misc", "none", _KERNEL], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise BoardsUnavailableError("binfmt_misc cannot be mounted") from error
    in_use.write(_MOUNTED_BY_US)
    in_use.flush()


def _register(emulator: str) -> None:
    try:
        rule = (_RULES / f"{emulator}.conf").read_text()
    except OSError as error:
        raise BoardsUnavailableError(f"no {_RULES / emulator}.conf: {error.strerror}") from error
    with suppress(FileExistsError):  # another session has registered it
        (_KERNEL / "register").write_text(rule.replace(emulator, _our_name(emulator), 1))


def _remove_rules(in_use: IO[str]) -> None:
    for rule in _KERNEL.glob(_our_name("*")):
        rule.write_text("-1")
    in_use.seek(0)
    if _MOUNTED_BY_US in in_use.read():
        subprocess.run(["umount", _KERNEL], check=True)
        in_use.truncate(0)


def _our_name(emulator: str) -> str:
    return f"metanas-{emulator}"
