"""A real `metanas-agent serve`, and what a test needs to know of processes."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from metanas_agent.messages import Hello
from metanas_agent.protocol import VERSION, encode, read_message

PATIENCE_S = 30.0


class AgentProcess:
    """Runs until `stop`; `with` makes sure of it."""

    def __init__(self, *arguments, **options):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "metanas_agent", "serve", "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.line = self._process.stdout.readline()
        self.port = int(re.fullmatch(r"metanas-agent \S+ listening on \S+:(\d+)\n", self.line)[1])
        self.pid = self._process.pid

    def worker(self):
        """Process id of the worker, once there is one."""
        return wait_for(lambda: next(iter(children(self.pid)), None))

    def kill(self):
        self._process.kill()
        self._process.wait()

    def stop(self, number=signal.SIGTERM):
        """Ask it to end; its exit code."""
        self._process.send_signal(number)
        return self._process.wait(PATIENCE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait(PATIENCE_S)
        self._process.stdout.close()


@contextmanager
def raw_connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        yield Peer(connection)


class Peer:
    """Speaks frames, or anything else, to an agent."""

    def __init__(self, connection):
        self.socket = connection

    def greet(self, version=VERSION):
        self.send(Hello(version=version, program="test"))
        return self.receive()

    def send(self, message):
        self.socket.sendall(encode(message))

    def receive(self):
        return read_message(self)

    def read(self, count):
        """What `read_message` asks of a stream."""
        data = b""
        while len(data) < count and (chunk := self.socket.recv(count - len(data))):
            data += chunk
        return data


def children(pid):
    """Process ids of a process's children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return found


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(what):
    """The first true value of `what()`."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if value := what():
            return value
        time.sleep(0.01)
    raise AssertionError("waited in vain")
