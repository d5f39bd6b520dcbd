"""LocalAgent: this machine, measured through an agent process of our own."""

from __future__ import annotations

import re
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from metanas.devices.client import AgentDevice
from metanas.devices.endpoint import UnixEndpoint
from metanas.devices.upload import ArtifactSource
from metanas.errors import AgentUnreachableError, RuntimeUnavailableError
from metanas.files import cache_folder
from metanas_agent.runtimes import RUNTIMES

_START_LIMIT_S = 60.0
_STOP_LIMIT_S = 10.0
_LEASE_S = 600  # the agent serves nobody else, and the system tells each of the other's end
_COMMAND = (
    *(sys.executable, "-P", "-m", "metanas_agent"),
    *("serve", "--exit-with-parent", "--lease-s", str(_LEASE_S)),
)
_LISTENING = re.compile(rb"metanas-agent \S+ listening on .+\n")


class LocalAgent(AgentDevice):
    """Starts a real agent process, which only this user can reach, and stops it on `close`.

    The agent also stops by itself when this process ends, however it ends. It has a session of
    its own, so that Ctrl-C reaches only this process, which then decides.

    Args:
        name: the name that the host knows it by.
        runtime: the agent's runtime that shall do the work.
        accelerator: what a runtime that knows several shall use, such as `cuda`.
        artifacts: makes the programs that the runtime needs, None where it needs none.

    Raises:
        AgentUnreachableError: the agent did not start.
        RuntimeUnavailableError: no runtime has that name.
    """

    def __init__(
        self,
        name: str = "local",
        *,
        runtime: str = "onnx",
        accelerator: str = "cpu",
        artifacts: ArtifactSource | None = None,
    ) -> None:
        if runtime not in RUNTIMES:
            raise RuntimeUnavailableError(
                f"unknown runtime {runtime!r}", hint=f"choose from {', '.join(sorted(RUNTIMES))}"
            )
        self._folder = tempfile.TemporaryDirectory(prefix="metanas-")
        path = Path(self._folder.name) / "agent"
        state = cache_folder().absolute() / "agent"
        self._process = subprocess.Popen(
            [
                *_COMMAND,
                *("--unix", str(path), "--state", str(state)),
                *("--runtime", runtime, "--accelerator", accelerator),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._wait_until_it_listens()
            super().__init__(name, UnixEndpoint(path), runtime=runtime, artifacts=artifacts)
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

    def _wait_until_it_listens(self) -> None:
        """It says so in the one line that it prints."""
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
        if not _LISTENING.fullmatch(line):
            raise AgentUnreachableError(
                "the local agent did not start",
                hint="see what this says: python -m metanas_agent serve --port 0",
            )

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
        self._folder.cleanup()
