"""Stream: a socket, plain or TLS, on which one thread may write while another one reads."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")

_PIECE_BYTES = 64 * 1024


class Stream:
    """Bytes both ways, with limits on how long the peer may let us wait.

    OpenSSL allows one call at a time on a connection, so each is made without waiting, under a
    lock, and the waiting is done outside of it.

    Args:
        connected: the socket; it is the stream's from now on.
    """

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._socket.setblocking(False)
        self._calls = threading.Lock()
        self._writing = threading.Lock()
        self.ended = False
        """Whether the peer has hung up."""
        self.silence_s = 0.0
        """Longest pause of the peer within `read` and `write`."""

    def read(self, count: int) -> bytes:
        """So many bytes, or fewer where the peer has hung up.

        Raises:
            TimeoutError: the peer is silent for too long.
            OSError: the connection broke.
        """
        data = bytearray()
        while len(data) < count:
            wanted = min(count - len(data), _PIECE_BYTES)
            piece = self._call(self._socket.recv, wanted, select.POLLIN)
            if not piece:
                self.ended = True
                break
            data += piece
        return bytes(data)

    def write(self, data: bytes) -> None:
        """Send it all; never between the parts of what another thread sends.

        Raises:
            TimeoutError: the peer takes nothing for too long.
            OSError: the connection broke.
        """
        rest = memoryview(data)
        with self._writing:
            while rest:
                piece = rest[:_PIECE_BYTES]
                rest = rest[self._call(self._socket.send, piece, select.POLLOUT) :]

    def close(self) -> None:
        """Hang up. A thread that waits in `read` or `write` is woken with an error."""
        with self._calls:
            with suppress(OSError):  # the peer was faster
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()

    def _call(self, call: Callable[[A], T], argument: A, wait_for: int) -> T:
        deadline = time.monotonic() + self.silence_s
        while True:
            with self._calls:
                descriptor = self._socket.fileno()
                try:
                    return call(argument)
                except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
                    event = _event(error, wait_for)
            _wait(descriptor, event, deadline)


def _event(error: OSError, wait_for: int) -> int:
    if isinstance(error, ssl.SSLWantReadError):
        return select.POLLIN
    if isinstance(error, ssl.SSLWantWriteError):
        return select.POLLOUT
    return wait_for


def _wait(descriptor: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(descriptor, event)
    left_s = deadline - time.monotonic()
    if left_s <= 0 or not poll.poll(left_s * 1e3):
        raise TimeoutError("it gave no sign of life")
