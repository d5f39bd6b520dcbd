"""What the agent costs a Pi Zero: file size, start time and resident memory, on an emulated board.

    python benchmarks/agent_footprint.py [--json]

Needs root and the tools that `pytest -m boards` needs. The board is an ARMv6 user space under
qemu's user-mode emulation. A process there holds the agent's memory and the emulator's own
(translated code above all), which no real board has. The agent's is what lies in the 4 GiB of a
32-bit machine's addresses: everything else in the process belongs to the emulator. Times are the
emulator's too: they say that the agent starts, not how fast a real board is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from boards.binfmt import foreign_programs
from boards.board import Board, running_board
from boards.conftest import ARMEL
from boards.laptop import Laptop
from metanas.pairing.zipapp import build_agent_pyz

GUEST_END = 2**32
SETTLED_S = 10.0
STARTS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        foreign_programs("qemu-arm"),
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as home,
        running_board("pi0", ARMEL, Path(folder)) as board,
    ):
        figures = measure(board, Laptop(Path(home)))
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value:,}")


def measure(board: Board, laptop: Laptop) -> dict[str, float]:
    """The agent is paired, so it speaks TLS, and announces itself by mDNS."""
    port = int(laptop.pair(board)["address"].rpartition(":")[2])
    time.sleep(SETTLED_S)
    memory = resident_bytes(board.agent())
    return {
        "file_bytes": len(build_agent_pyz().data),
        "agent_resident_bytes": memory["guest"],
        "agent_private_bytes": memory["guest private"],
        "with_emulator_resident_bytes": memory["whole"],
        "start_s": round(statistics.median(restart_s(board, port) for _ in range(STARTS)), 2),
    }


def resident_bytes(pid: int) -> dict[str, int]:
    """Resident memory of an emulated 32-bit process, by whose it is."""
    sums = {"guest": 0, "guest private": 0, "whole": 0}
    in_guest = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if mapping := re.match(r"[0-9a-f]+-([0-9a-f]+) ", line):
            in_guest = int(mapping[1], 16) <= GUEST_END
        elif field := re.match(r"(Rss|Anonymous):\s+(\d+) kB", line):
            size = int(field[2]) * 1024
            if field[1] == "Rss":
                sums["whole"] += size
                sums["guest"] += size * in_guest
            else:
                sums["guest private"] += size * in_guest
    return sums


def restart_s(board: Board, port: int) -> float:
    """Seconds from the start of the agent's process until it listens."""
    killed = board.agent()
    os.kill(killed, signal.SIGKILL)
    while board.agent() == killed:
        time.sleep(0.02)
    while True:
        with suppress(OSError), socket.create_connection((board.address, port), timeout=1.0):
            listening = time.clock_gettime(time.CLOCK_BOOTTIME)
            return listening - started(board.agent())
        time.sleep(0.02)


def started(pid: int) -> float:
    """When a process was started, by the clock that runs since boot."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19]) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
