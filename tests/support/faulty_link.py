"""A link between host and agent that can be cut, or go silent as if the cable were pulled."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress

_PIECE_BYTES = 16 * 1024
_RESET = struct.pack("ii", 1, 0)  # close without a farewell


class FaultyLink:
    """Forwards TCP connections to a port of this machine; `with` ends it.

    Args:
        target: the agent's port; another may be set at any time.
        cut_after: cut the first connection when the host has sent so many bytes.
    """

    def __init__(self, target, *, cut_after=None):
        self.target = target
        self._cut_after = cut_after
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()
        self._ends = []
        self._threads = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        self._start(self._accept)

    def cut(self):
        """Break every connection at once."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)

    def go_silent(self):
        """Forward nothing more, and say nothing of it."""
        self._flows.clear()

    def flow_again(self):
        """The cable is back."""
        self._flows.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._flows.set()
        with suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()
        self.cut()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            limit, self._cut_after = self._cut_after, None
            open_ends = _Pair(near, far)
            with self._lock:
                self._ends += [near, far]
            self._start(self._forward, near, far, limit, open_ends)
            self._start(self._forward, far, near, None, open_ends)

    def _forward(self, source, sink, limit, pair):
        with suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                self._flows.wait()
                sink.sendall(data[:limit])
                if limit is not None and (limit := limit - len(data)) <= 0:
                    self.cut()
            sink.shutdown(socket.SHUT_WR)
        pair.half_done()


class _Pair:
    """Closes both ends when both directions are done."""

    def __init__(self, *ends):
        self._ends = ends
        self._left = 2
        self._lock = threading.Lock()

    def half_done(self):
        with self._lock:
            self._left -= 1
            if self._left:
                return
        for end in self._ends:
            end.close()
