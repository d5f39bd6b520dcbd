"""A cable to a board: a network namespace, and a pair of virtual interfaces into it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from boards.rootfs import BoardsUnavailableError

# What this starts dies with the thread that starts it, even if the test session is killed; the
# kernel then takes the namespaces away, with all interfaces and mounts in them.
DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_SUBNETS = range(1, 255)


@dataclass(slots=True)
class Cable:
    """Between this machine and a namespace.

    Args:
        holder: id of the process that keeps the namespace.
        host_address: our end, in a network of its own.
        address: the board's end.
    """

    holder: int
    host_address: str
    address: str

    def enter(self, *command: str) -> tuple[str, ...]:
        """The command line that runs a command at the board's end."""
        return ("nsenter", "--net", f"--target={self.holder}", "--", *command)

    def unplug(self) -> None:
        """Both ends fall silent; nobody is told."""
        _run(*self.enter("ip", "link", "set", "eth0", "down"))

    def plug_in(self) -> None:
        """Undo `unplug`."""
        _run(*self.enter("ip", "link", "set", "eth0", "up"))
        _run(*self.enter("ip", "route", "replace", "default", "via", self.host_address))

    def renumber(self) -> None:
        """Give the board another address, as a router may."""
        before, last = self.address, int(self.address.rpartition(".")[2])
        self.address = f"{before.rpartition('.')[0]}.{last + 1}"
        _run(*self.enter("ip", "address", "delete", f"{before}/24", "dev", "eth0"))
        _run(*self.enter("ip", "address", "add", f"{self.address}/24", "dev", "eth0"))
        self.plug_in()


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable, and take it away in the end.

    Raises:
        BoardsUnavailableError: the kernel does not let us.
    """
    with subprocess.Popen(
        [*DIE_WITH_US, "unshare", "--net", "sh", "-c", "echo there; exec sleep infinity"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout
            if holder.stdout.readline() != "there\n":
                assert holder.stderr
                raise BoardsUnavailableError(f"no namespace: {holder.stderr.read().strip()}")
            laid = _lay(holder.pid)
            laid.plug_in()
            yield laid
        finally:
            holder.kill()


def _lay(holder: int) -> Cable:
    for subnet in _SUBNETS:
        ours = f"board{subnet}"
        done = subprocess.run(
            ["ip", "link", "add", ours, "type", "veth", "peer", "eth0", "netns", str(holder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            break
        if "exists" not in done.stderr:
            raise BoardsUnavailableError(f"no virtual interface: {done.stderr.strip()}")
    else:
        raise BoardsUnavailableError("all names of virtual interfaces are taken")
    laid = Cable(holder, f"10.213.{subnet}.1", f"10.213.{subnet}.2")
    _run("ip", "address", "add", f"{laid.host_address}/24", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    _run(*laid.enter("ip", "address", "add", f"{laid.address}/24", "dev", "eth0"))
    _run(*laid.enter("ip", "link", "set", "lo", "up"))
    return laid


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
