"""A board: a foreign user space with an sshd, at the other end of a cable."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boards.network import DIE_WITH_US, Cable, cable
from boards.rootfs import Recipe, root_filesystem

STATE = ".local/share/metanas-agent"
"""The agent's folder, in its user's home."""

_BOOT_LIMIT_S = 60.0
_SSH_LIMIT_S = 120.0

# Runs in namespaces of its own, so every mount goes when the board goes. /run, /dev and /tmp are
# lost at a reboot, everything else stays in the overlay's upper folder, which is the board's disk.
# onnxruntime looks for Arm's details of the processors, and crashes where there are none.
_BOOT = """
set -e
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$DISK/upper,workdir=$DISK/work" "$DISK/root"
cd "$DISK/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir run/sshd dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
chmod 1777 dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for node in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
    mknod -m 666 "dev/${node% *}" c 1 "${node#* }"
done
mknod -m 666 dev/tty c 5 0
if [ -s "$PROCESSORS" ]; then mount --bind "$PROCESSORS" proc/cpuinfo; fi
hostname "$NAME"
exec chroot . /usr/sbin/sshd -D -e
"""

_PARTS = {"arm1176": ("0xb76", "half thumb vfp"), "cortex-a72": ("0xd08", "fp asimd crc32")}
"""Processor to Arm's number of it, and what it can."""


class Board:
    """An emulated board, off until `boot`.

    Args:
        name: its host name.
        recipe: what its disk holds when it is new.
        plug: the cable to it.
        folder: an empty one, for its disk, its console's output and the key to it.
    """

    user = "pi"

    def __init__(self, name: str, recipe: Recipe, plug: Cable, folder: Path) -> None:
        self.name = name
        self.recipe = recipe
        self.cable = plug
        self.key_file = folder / "key"
        self.known_hosts = folder / "known_hosts"
        self._lower = root_filesystem(recipe)
        self._disk = folder / "disk"
        self._console = folder / "console"
        self._processors = folder / "cpuinfo"
        self._process: subprocess.Popen[bytes] | None = None
        for part in ("upper", "work", "root"):
            (self._disk / part).mkdir(parents=True)
        self._processors.write_text(_cpuinfo(recipe.cpu))
        _make_key(self.key_file)
        self.make_host_key()
        self.authorize(self.key_file.with_suffix(".pub"))

    @property
    def address(self) -> str:
        """Where it is in the network."""
        return self.cable.address

    def make_host_key(self) -> None:
        """A new identity of its sshd; known from now on to our `ssh`, as of the next boot."""
        key_file = self._disk / "upper" / "etc" / "ssh" / "ssh_host_ed25519_key"
        key_file.parent.mkdir(parents=True, exist_ok=True)
        key_file.unlink(missing_ok=True)
        _make_key(key_file)
        kind, key, *_ = key_file.with_suffix(".pub").read_text().split()
        self.known_hosts.write_text(f"{self.address} {kind} {key}\n")

    def authorize(self, public_key: Path) -> None:
        """Let the owner of that key in, and nobody else."""
        home = self._disk / "upper" / "home" / self.user
        folder = home / ".ssh"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "authorized_keys").write_text(public_key.read_text())
        for path in (home, folder, folder / "authorized_keys"):
            os.chown(path, 1000, 1000)

    def boot(self) -> None:
        """Switch it on, and wait for its sshd."""
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                self.cable.enter(
                    *DIE_WITH_US,
                    *("unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"),
                    *("--kill-child", "sh", "-c", _BOOT),
                ),
                env={
                    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                    "QEMU_CPU": self.recipe.cpu,
                    "LOWER": str(self._lower),
                    "DISK": str(self._disk),
                    "PROCESSORS": str(self._processors),
                    "NAME": self.name,
                },
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        deadline = time.monotonic() + _BOOT_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not boot: {self._console.read_text()}")
            time.sleep(0.05)

    def cut_power(self) -> None:
        """Everything on it dies at once; what was written to its disk stays."""
        if self._process and self._process.poll() is None:
            os.kill(self._first_process(), signal.SIGKILL)  # the kernel then kills all others
            self._process.wait()

    def reboot(self) -> None:
        """Cut its power, and switch it on again."""
        self.cut_power()
        self.boot()

    def ssh(self, *command: str) -> str:
        """What a command prints on the board.

        Raises:
            subprocess.CalledProcessError: it failed; `stderr` says why.
        """
        return self._reach("ssh", f"{self.user}@{self.address}", shlex.join(command))

    def put(self, *paths: Path) -> None:
        """Copy files and folders into the home folder."""
        self._reach("scp", "-r", *map(str, paths), f"{self.user}@{self.address}:")

    def get(self, name: str, path: Path) -> None:
        """Copy a file out of the home folder."""
        self._reach("scp", f"{self.user}@{self.address}:{name}", str(path))

    def metanas_agent(self, *arguments: str) -> str:
        """What a command of the agent that pairing has put there prints; see `ssh`."""
        return self.ssh("sh", "-c", f'exec python3 {STATE}/agent/*.pyz "$@"', "sh", *arguments)

    def _reach(self, program: str, *arguments: str) -> str:
        return subprocess.run(
            [
                *(program, "-F", "none", "-i", self.key_file, "-o", "BatchMode=yes"),
                *("-o", f"UserKnownHostsFile={self.known_hosts}", *arguments),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SSH_LIMIT_S,
        ).stdout

    def device_id(self) -> str:
        """What pairing has named it."""
        identity = json.loads(self.ssh("cat", f"{STATE}/identity/device.json"))
        return str(identity["id"])

    def files(self) -> set[Path]:
        """What its user has written: to their home folder and, since it was booted, to /tmp."""
        found = self.ssh("find", ".", "/tmp", "-type", "f")
        return set(map(Path, found.splitlines()))

    def processes(self) -> dict[int, list[str]]:
        """Command lines of all its processes, without the emulator, by their ids here."""
        found = {}
        namespace = _pid_namespace(self._first_process())
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if _pid_namespace(int(folder.name)) == namespace:
                    words = (folder / "cmdline").read_text().split("\0")[:-1]
                    found[int(folder.name)] = words[2:] if self.recipe.cpu else words
        return {pid: words for pid, words in found.items() if words}  # the dead have none

    def agent(self) -> int | None:
        """The id, on this machine, of the agent that runs on it."""
        return next(
            (pid for pid, command in self.processes().items() if "serve" in command[2:3]), None
        )

    def _first_process(self) -> int:
        """The board's process 1, which `unshare` started and waits for."""
        assert self._process
        pid = self._process.pid
        return int((Path("/proc") / f"{pid}/task/{pid}/children").read_text() or pid)

    def _answers(self) -> bool:
        with (
            suppress(OSError),
            socket.create_connection((self.address, 22), timeout=_BOOT_LIMIT_S) as connection,
        ):
            return connection.recv(4) == b"SSH-"
        return False


@contextmanager
def running_board(name: str, recipe: Recipe, folder: Path) -> Iterator[Board]:
    """A new board, switched on, until the block ends.

    Raises:
        BoardsUnavailableError: this machine cannot emulate it.
    """
    with cable() as plug:
        board = Board(name, recipe, plug, folder)
        try:
            board.boot()
            yield board
        finally:
            board.cut_power()


def _cpuinfo(cpu: str) -> str:
    """What such a board's kernel says of its processors, nothing where it is this machine's."""
    if not cpu:
        return ""
    part, features = _PARTS[cpu]
    return "".join(
        f"processor\t: {number}\nFeatures\t: {features}\nCPU implementer\t: 0x41\n"
        f"CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: {part}\nCPU revision\t: 3\n\n"
        for number in range(os.cpu_count() or 1)
    )


def _make_key(path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path], check=True
    )


def _pid_namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()
