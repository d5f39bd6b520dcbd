"""Root file systems of foreign boards, built in half a minute and kept.

debootstrap's second stage takes minutes under emulation. A board that only has to run Python and
sshd needs none of it: the packages are unpacked here, natively, and their few results that matter
(users, the server's settings, byte code) are written directly.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

_SOURCE = Path(__file__)
_SHOWN_LINES = 3
_SHOWN_CHARACTERS = 200

# qemu's user-mode emulation does not know the option by which a program chooses the interface for
# multicast, so there would be no mDNS. A board has only one, which the kernel takes anyway.
_MULTICAST = """\
import errno
import socket


def setsockopt(self, level, name, *value, _original=socket.socket.setsockopt):
    try:
        _original(self, level, name, *value)
    except OSError as error:
        asked = (level, name, error.errno)
        if asked != (socket.IPPROTO_IP, socket.IP_MULTICAST_IF, errno.ENOPROTOOPT):
            raise


socket.socket.setsockopt = setsockopt
"""


class BoardsUnavailableError(Exception):
    """This machine cannot emulate boards; the message is the reason."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a root file system is made of.

    Args:
        architecture: Debian's name of it, such as `armel`.
        cpu: the processor that the emulator shall be, so also what sshd's sessions see; nothing
            where none is needed.
        suite: of Debian.
        packages: Debian's, besides the minimal system.
        wheels: requirements for `pip`, with versions, of packages that have binary wheels.
        wheel_platform: tag of those wheels.
    """

    architecture: str
    cpu: str
    suite: str = "bookworm"
    packages: tuple[str, ...] = ("python3", "openssh-server")
    wheels: tuple[str, ...] = ()
    wheel_platform: str = ""

    @property
    def key(self) -> str:
        """Changes with anything that the outcome depends on, this module's text included."""
        text = json.dumps(asdict(self), sort_keys=True) + _SOURCE.read_text(encoding="utf-8")
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def boards_folder() -> Path:
    """Where built root file systems are kept; any of them may be deleted."""
    if folder := os.environ.get("METANAS_BOARDS"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "metanas" / "boards"


def root_filesystem(recipe: Recipe) -> Path:
    """The folder of a finished root file system, which nobody may write to.

    Raises:
        BoardsUnavailableError: the packages could not be fetched.
    """
    folder = boards_folder()
    folder.mkdir(parents=True, exist_ok=True)
    finished = folder / f"{recipe.architecture}-{recipe.suite}-{recipe.key}"
    with _only_builder_of(finished):
        if not finished.exists():
            unfinished = finished.with_suffix(".part")
            if unfinished.exists():  # an earlier build was killed
                shutil.rmtree(unfinished)
            _build(recipe, unfinished)
            unfinished.rename(finished)
    return finished


@contextmanager
def _only_builder_of(finished: Path) -> Iterator[None]:
    with finished.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, root: Path) -> None:
    _fetch(
        *("debootstrap", "--foreign", "--variant=minbase", f"--arch={recipe.architecture}"),
        *(f"--include={','.join(recipe.packages)}", recipe.suite, str(root)),
        *filter(None, [os.environ.get("METANAS_DEBIAN_MIRROR")]),
    )
    archives = root / "var" / "cache" / "apt" / "archives"
    for package in sorted(archives.glob("*.deb")):
        _unpack(package, root)
    shutil.rmtree(archives)
    shutil.rmtree(root / "debootstrap")
    for name in ("proc", "dev"):  # in a container, debootstrap makes links out of them
        if (root / name).is_symlink():
            (root / name).unlink()
            (root / name).mkdir()
    (python,) = (root / "etc").glob("python3.*")
    version = python.name.removeprefix("python")
    if recipe.wheels:
        _install_wheels(recipe, root, version)
    _write_users(root / "etc")
    _write_server_settings(root / "etc" / "ssh", recipe.cpu)
    if recipe.cpu:
        (python / "sitecustomize.py").write_text(_MULTICAST)
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        _write_byte_code(root)


def _fetch(*command: str) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        lines = done.stdout.splitlines()[-_SHOWN_LINES:]
        last_words = " / ".join(line[:_SHOWN_CHARACTERS] for line in lines)
        raise BoardsUnavailableError(f"{command[0]} could not fetch packages: {last_words}")


def _unpack(package: Path, root: Path) -> None:
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
    ) as unpacking:
        subprocess.run(
            ["tar", "-C", root, "-x", "--keep-directory-symlink"],
            stdin=unpacking.stdout,
            check=True,
        )
    if unpacking.returncode:
        raise BoardsUnavailableError(f"{package.name} is broken")


def _install_wheels(recipe: Recipe, root: Path, python_version: str) -> None:
    _fetch(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"),
        *("--target", str(root / "usr" / "lib" / "python3" / "dist-packages")),
        *("--platform", recipe.wheel_platform, "--only-binary=:all:", "--implementation", "cp"),
        *("--python-version", python_version, *recipe.wheels),
    )


def _write_users(etc: Path) -> None:
    """The users that the packages' scripts would have made, and `pi`."""
    masters = etc.parent / "usr" / "share" / "base-passwd"
    users = (masters / "passwd.master").read_text() + (
        "sshd:x:100:65534::/run/sshd:/usr/sbin/nologin\npi:x:1000:1000::/home/pi:/bin/bash\n"
    )
    (etc / "passwd").write_text(users)
    (etc / "group").write_text((masters / "group.master").read_text() + "pi:x:1000:\n")
    names = [line.partition(":")[0] for line in users.splitlines()]
    shadow = etc / "shadow"
    shadow.touch(0o600)
    shadow.write_text("".join(f"{name}:*:19700:0:99999:7:::\n" for name in names))
    home = etc.parent / "home" / "pi"
    home.mkdir(mode=0o755)
    os.chown(home, 1000, 1000)


def _write_server_settings(folder: Path, cpu: str) -> None:
    """sshd forgets the environment it was started with; the emulator's processor must survive."""
    (folder / "sshd_config").write_text(
        "HostKey /etc/ssh/ssh_host_ed25519_key\n"
        "UsePAM no\n"
        "UseDNS no\n"
        "LoginGraceTime 120\n"
        "Subsystem sftp /usr/lib/openssh/sftp-server\n"
        + (f"SetEnv QEMU_CPU={cpu}\n" if cpu else "")
    )


def _write_byte_code(root: Path) -> None:
    """Spares every Python on the board a second: its modules belong to root, who never runs it."""
    subprocess.run(
        [sys.executable, "-m", "compileall", "-qq", "-s", root, root / "usr" / "lib"],
        check=False,  # a few files of test data are meant not to compile
    )
