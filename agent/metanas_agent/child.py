"""A worker process seen from the agent: ask it, wait for it, end it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from metanas_agent.errors import MeasurementFailedError, ProtocolError, WorkerDiedError
from metanas_agent.exits import exit_hint, exit_name
from metanas_agent.message import Message
from metanas_agent.protocol import FRAME_LIMIT_BYTES, encode, receive_message

_COMMAND = (sys.executable, "-P", "-m", "metanas_agent.worker")
_ENVIRONMENT = (
    *("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR"),
    *("CUDA_", "MALLOC_", "METANAS_", "NVIDIA_", "OMP_", "PYTHON", "QEMU_"),
)
"""How the names begin of what a worker inherits; it needs no password and no agent of the user."""

_ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2), "MALLOC_TOP_PAD_": str(64 * 1024**2)}
"""Of the GNU C library: memory that a layer gave back stays with the worker for the next one, which
halves the time to prepare a layer. What is never used costs nothing."""

_PACKAGE_HOME = Path(__file__).resolve().parent.parent
"""The folder, or the one-file agent, that holds this package."""

_KEPT_STDERR_BYTES = 2_000


class Worker:
    """One worker process; `async with` starts it and is sure to end it.

    It leads a process group of its own, so that what it starts ends with it, and works in an empty
    folder.

    Args:
        accelerator: `cpu` or `cuda`, what a runtime that knows both shall use.
        artifact: path of the program that the runtime `native` shall start.
    """

    def __init__(self, *, accelerator: str = "cpu", artifact: Path | None = None) -> None:
        self._arguments = (accelerator, str(artifact or ""))

    async def __aenter__(self) -> Self:
        try:
            with ExitStack() as undo:
                folder = undo.enter_context(TemporaryDirectory(prefix="metanas-worker-"))
                self._process = await asyncio.create_subprocess_exec(
                    *_COMMAND,
                    *self._arguments,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=FRAME_LIMIT_BYTES,
                    cwd=folder,
                    env=_environment(),
                    start_new_session=True,
                )
                self._folder = undo.pop_all()
        except OSError as error:
            raise MeasurementFailedError(
                f"cannot start a worker: {error.strerror}",
                hint="look at the device's free memory, free disk and number of processes",
            ) from error
        assert self._process.stdin
        assert self._process.stdout
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        self._last_words = b""
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._folder, suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._stdin.close()
        await asyncio.gather(self._process.wait(), self._listening)

    async def send(self, request: Message) -> None:
        """Ask it something.

        Raises:
            WorkerDiedError: it died.
        """
        try:
            self._stdin.write(encode(request))
            await self._stdin.drain()
        except ConnectionError as error:
            raise await self._death() from error

    async def receive(self, *, limit_s: float) -> Message:
        """Its next reply.

        Raises:
            WorkerDiedError: it died.
            MeasurementFailedError: it sent nonsense, or took longer than `limit_s`.
        """
        try:
            async with asyncio.timeout(limit_s):
                reply = await receive_message(self._stdout)
        except TimeoutError as error:
            raise MeasurementFailedError(
                f"took longer than {limit_s:.0f} s and was stopped",
                hint="give the agent a longer --limit-s, or measure something smaller",
            ) from error
        except ProtocolError as error:
            if self._stdout.at_eof():
                raise await self._death() from error
            raise MeasurementFailedError(f"worker sent nonsense: {error.what}") from error
        if reply is None:
            raise await self._death()
        return reply

    async def _listen(self) -> None:
        assert self._process.stderr
        while chunk := await self._process.stderr.read(_KEPT_STDERR_BYTES):
            self._last_words = (self._last_words + chunk)[-_KEPT_STDERR_BYTES:]

    async def _death(self) -> WorkerDiedError:
        code, _ = await asyncio.gather(self._process.wait(), self._listening)
        lines = self._last_words.decode(errors="replace").strip().splitlines()
        last_words = lines[-1][:300] if lines else ""
        return WorkerDiedError(exit_name(code), last_words=last_words, hint=exit_hint(code))


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}
    environment = _ALLOCATION | inherited
    if _PACKAGE_HOME.is_file():
        paths = (str(_PACKAGE_HOME), environment.get("PYTHONPATH", ""))
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    return environment
