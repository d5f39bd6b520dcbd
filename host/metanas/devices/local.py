"""LocalAgent: this machine, measured through an agent process of our own."""

from __future__ import annotations

import re
import selectors
import subprocess
import sys
import time

from metanas.devices.client import AgentDevice
from metanas.errors import AgentUnreachableError

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_COMMAND = (
    *(sys.executable, "-P", "-m", "metanas_agent"),
    *("serve", "--port", "0", "--exit-with-parent"),
)
_LISTENING = re.compile(rb"metanas-agent \S+ listening on 127\.0\.0\.1:(\d+)\n")


class LocalAgent(AgentDevice):
    """Starts a real agent process on loopback, and stops it on `close`.

    The agent also stops by itself when this process ends, however it ends. It has a session of
    its own, so that Ctrl-C reaches only this process, which then decides.

    Args:
        name: the name that the host knows it by.
        runtime: the agent's runtime that shall do the work.

    Raises:
        AgentUnreachableError: the agent did not start.
    """

    def __init__(self, name: str = "local", *, runtime: str = "onnx") -> None:
        self._process = subprocess.Popen(
            _COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        try:
            super().__init__(name, "127.0.0.1", self._port(), runtime=runtime)
        except BaseException:
            self._stop()
            raise

    @property
    def process_id(self) -> int:
        """Of the agent."""
        return self._process.pid

    def close(self) -> None:
        """Hang up and stop the agent."""
        super().close()
        self._stop()

    def _port(self) -> int:
        """Read the port from the one line that the agent prints once it listens."""
        assert self._process.stdout
        line = b""
        deadline = time.monotonic() + _START_LIMIT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n") and selector.select(deadline - time.monotonic()):
                chunk = self._process.stdout.read1()  # type: ignore[attr-defined]
                if not chunk:
                    break
                line += chunk
        match = _LISTENING.fullmatch(line)
        if match is None:
            raise AgentUnreachableError(
                "the local agent did not start",
                hint="see what this says: python -m metanas_agent serve --port 0",
            )
        return int(match[1])

    def _stop(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()  # the agent takes that as the end of its parent
        try:
            self._process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
