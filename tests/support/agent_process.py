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
from tempfile import TemporaryDirectory

from metanas.devices import TcpEndpoint
from metanas_agent.messages import Alive, Hello, Welcome
from metanas_agent.protocol import GREETING_MAJOR, VERSION, encode, read_message

PATIENCE_S = 30.0


class AgentProcess:
    """Runs until `stop`; `with` makes sure of it. Its state is its own unless `state` is given.

    `prefix` is a command that runs it, such as one that enters a network namespace.
    """

    def __init__(self, *arguments, state=None, port=0, prefix=(), **options):
        self._folder = TemporaryDirectory()
        self.state = Path(state or self._folder.name)
        command = (*prefix, sys.executable, "-m", "metanas_agent", "serve")
        self._process = subprocess.Popen(
            [*command, "--port", str(port), "--state", str(self.state), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        self.pid = self._process.pid
        self.line = self._process.stdout.readline()
        match = re.fullmatch(r"metanas-agent \S+ listening on (?:\S+:(\d+)|\S+)\n", self.line)
        if match is None:
            self.kill()
            self.__exit__()
            raise AssertionError(f"the agent said {self.line!r}")
        self.port = int(match[1]) if match[1] else None

    @property
    def endpoint(self):
        return TcpEndpoint("127.0.0.1", self.port)

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
        self._folder.cleanup()


@contextmanager
def raw_connection(port):
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        yield Peer(connection)


class Peer:
    """Speaks frames, or anything else, to an agent."""

    def __init__(self, connection):
        self.socket = connection
        self.major = GREETING_MAJOR

    def greet(self, version=VERSION, **fields):
        self.send(Hello(version=version, program="test", **fields))
        answer = self.receive()
        if isinstance(answer, Welcome):
            self.major = answer.version[0]
        return answer

    def send(self, message):
        self.socket.sendall(self.frame(message))

    def frame(self, message):
        return encode(message, major=self.major)

    def receive(self):
        """The next message that is more than a sign of life."""
        while isinstance(message := read_message(self, major=self.major), Alive):
            pass
        return message

    def ask(self, message):
        self.send(message)
        return self.receive()

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
