"""A worker process seen from the agent: ask it, wait for it, end it."""

from __future__ import annotations

import asyncio
import signal
import sys
from types import TracebackType
from typing import Self

from metanas_agent.errors import MeasurementFailedError, ProtocolError
from metanas_agent.messages import Message
from metanas_agent.protocol import FRAME_LIMIT_BYTES, encode, receive_message

_COMMAND = (sys.executable, "-P", "-m", "metanas_agent.worker")
_KEPT_STDERR_BYTES = 2_000


class Worker:
    """One worker process; `async with` starts it and is sure to end it."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=FRAME_LIMIT_BYTES,
        )
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
        if self._process.returncode is None:
            self._process.kill()
        self._stdin.close()
        await asyncio.gather(self._process.wait(), self._listening)

    async def send(self, request: Message) -> None:
        """Ask it something.

        Raises:
            MeasurementFailedError: it died.
        """
        try:
            self._stdin.write(encode(request))
            await self._stdin.drain()
        except ConnectionError as error:
            raise await self._death() from error

    async def receive(self, *, limit_s: float) -> Message:
        """Its next reply.

        Raises:
            MeasurementFailedError: it died, sent nonsense, or took longer than `limit_s`.
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

    async def _death(self) -> MeasurementFailedError:
        code, _ = await asyncio.gather(self._process.wait(), self._listening)
        lines = self._last_words.decode(errors="replace").strip().splitlines()
        said = f": {lines[-1][:300]}" if lines else ""
        return MeasurementFailedError(
            f"worker died: {_exit_name(code)}{said}",
            hint="it may have run out of memory, or the runtime does not suit this processor",
        )


def _exit_name(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
