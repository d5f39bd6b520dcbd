"""What every host has that goes on over lost connections, and is killed while it does."""

from __future__ import annotations

import sys

from metanas.devices import AgentDevice, ReconnectingDevice, TcpEndpoint
from metanas.errors import MetanasError

STOPPED = 3
"""Exit code where an error of ours ended it: it is to be started again."""


def run_host(port, work):
    """Call `work` with the board at this port; ends the process where it fails."""

    def connect(session):
        return AgentDevice("board", TcpEndpoint("127.0.0.1", port), session=session)

    try:
        with ReconnectingDevice(connect, patience_s=60.0) as device:
            work(device)
    except MetanasError as error:
        print(error, file=sys.stderr)
        sys.exit(STOPPED)
