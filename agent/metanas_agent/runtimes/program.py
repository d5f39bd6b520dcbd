"""A static program that the host built, in a process of its own: started, asked, ended.

It speaks the harness protocol: one line asks, one line answers, and some lines are followed by
bytes. Nothing that it says is believed before it is checked. How long it may take is for the agent
to decide, which ends the whole process group.
"""

from __future__ import annotations

import os
import resource
import select
import subprocess
from contextlib import suppress
from math import inf
from pathlib import Path
from weakref import finalize

from metanas_agent.errors import MeasurementFailedError
from metanas_agent.exits import exit_hint, exit_name
from metanas_agent.system import System

HARNESS_VERSION = "1"

_LONGEST_LINE_BYTES = 1_000
_CHUNK_BYTES = 64 * 1024
_LONGEST_CPU_S = 4 * 3600  # two measurements of the longest budget, and then some
_MOST_FILES = 16


class Program:
    """A running program; it is ended when nobody holds it any more, or by `close()`.

    It starts with an empty environment in the worker's empty folder, and may neither write files
    nor use more memory than is free.

    Args:
        path: the program.

    Attributes:
        kind: what it runs, `layers` or `network`.
        target: the processor that it was built for.
        numbers: what it says of itself beyond that.

    Raises:
        MeasurementFailedError: it cannot be started, or does not greet as it should.
    """

    def __init__(self, path: Path) -> None:
        self._process = _start(path)
        self.close = finalize(self, _end, self._process)
        self._heard = bytearray()
        greeting = self._line().split()
        if len(greeting) < 4 or greeting[0] != "metanas-native":
            raise self._rubbish(" ".join(greeting))
        _, version, self.kind, self.target, *numbers = greeting
        if version != HARNESS_VERSION:
            raise MeasurementFailedError(
                f"the program speaks harness protocol {version:.20}, "
                f"this agent speaks {HARNESS_VERSION}",
                hint="upgrade the older of host and agent",
            )
        if not all(number.isdecimal() for number in numbers):
            raise self._rubbish(" ".join(greeting))
        self.numbers = tuple(map(int, numbers))

    def ask(self, command: str, payload: bytes = b"", *, answer: str) -> str:
        """Say one line, and the bytes that belong to it; what the answer says behind `answer`.

        Raises:
            MeasurementFailedError: it answered that it cannot, answered rubbish, or died.
        """
        if not self.close.alive:
            raise MeasurementFailedError("the program has ended", hint="prepare the layer again")
        if self._has_spoken():
            raise self._rubbish(bytes(self._heard))
        assert self._process.stdin
        try:
            self._process.stdin.write(command.encode("ascii") + b"\n" + payload)
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error
        line = self._line()
        word, _, rest = line.partition(" ")
        if word == "error":
            raise MeasurementFailedError(f"the program cannot {command:.60}: {rest:.200}")
        if word != answer:
            raise self._rubbish(line)
        return rest

    def ask_number(self, command: str, *, answer: str, most: float = inf) -> int:
        """`ask` where the answer is a number from 0 to `most`."""
        text = self.ask(command, answer=answer)
        if not text.isdecimal() or len(text) > 20 or int(text) > most:
            raise self._rubbish(f"{answer} {text}")
        return int(text)

    def ask_bytes(self, command: str, size_bytes: int) -> bytes:
        """`ask` where so many bytes follow the answer."""
        given = self.ask_number(command, answer="bytes")
        if given != size_bytes:
            raise MeasurementFailedError(
                f"the program answered {given:,} bytes of {command}, not {size_bytes:,}",
                hint="it was built for another layer or model",
            )
        while len(self._heard) < size_bytes:
            self._listen()
        return self._take(size_bytes)

    def peak_memory_bytes(self) -> int | None:
        """Peak resident memory so far, None if the system does not tell."""
        with suppress(OSError, ValueError):
            for line in Path(f"/proc/{self._process.pid}/status").read_text("ascii").splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return None

    def _line(self) -> str:
        while (end := self._heard.find(b"\n")) < 0:
            if len(self._heard) > _LONGEST_LINE_BYTES:
                raise self._rubbish(bytes(self._heard))
            self._listen()
        line = self._take(end + 1)[:-1]
        if not line.isascii():
            raise self._rubbish(line)
        return line.decode("ascii")

    def _has_spoken(self) -> bool:
        """Whether it said more than it was asked for."""
        assert self._process.stdout
        if not self._heard and select.select([self._process.stdout], [], [], 0)[0]:
            self._listen()
        return bool(self._heard)

    def _listen(self) -> None:
        assert self._process.stdout
        chunk = os.read(self._process.stdout.fileno(), _CHUNK_BYTES)
        if not chunk:
            raise self._death()
        self._heard += chunk

    def _take(self, count: int) -> bytes:
        taken = bytes(self._heard[:count])
        del self._heard[:count]
        return taken

    def _rubbish(self, answer: str | bytes) -> MeasurementFailedError:
        self.close()
        shown = ascii(answer[:80])
        return MeasurementFailedError(
            f"the program answered rubbish: {shown}{'...' if len(answer) > 80 else ''}",
            hint="build it again for this device",
        )

    def _death(self) -> MeasurementFailedError:
        """It closed its output, or no longer reads: it is dead, or as good as that."""
        try:
            code = self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self.close()
            return MeasurementFailedError("the program fell silent", hint="build it again")
        self.close()
        return MeasurementFailedError(f"the program died: {exit_name(code)}", hint=exit_hint(code))


def _start(path: Path) -> subprocess.Popen[bytes]:
    # An emulated board's program must see the processor that the agent sees.
    environment = {k: v for k, v in os.environ.items() if k.startswith("QEMU_")}
    try:
        process = subprocess.Popen(
            [path.absolute()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError as error:
        raise MeasurementFailedError(
            f"cannot start the program: {error.strerror}",
            hint="is it built for this processor? see the target in the device's profile",
        ) from error
    with suppress(ProcessLookupError):
        _limit(process.pid)
    return process


def _limit(pid: int) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: _LONGEST_CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: _MOST_FILES,
    }
    available = System().available_memory_bytes()
    if available is not None:
        limits[resource.RLIMIT_DATA] = available  # not RLIMIT_AS: emulators reserve address space
    for kind, most in limits.items():
        _, hard = resource.prlimit(pid, kind)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.prlimit(pid, kind, (allowed, allowed))


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what it did not take does not matter any more
            pipe.close()  # type: ignore[union-attr]
