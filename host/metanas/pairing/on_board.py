"""What pairing does on the board. This file's text is sent to the board's Python, which runs it:

    python3 -I - COMMAND '{"argument": "value"}' < on_board.py

It needs the standard library only, and answers one JSON value on standard output.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

UNIT = "metanas-agent.service"
_STOP_LIMIT_S = 10.0
_LARGEST_LOG_BYTES = 256 * 1024
_KEEP_RUNNING = f"""\
while :; do
    if [ -f "$1" ] && [ "$(wc -c < "$1")" -gt {_LARGEST_LOG_BYTES} ]; then mv "$1" "$1.old"; fi
    (log=$1; shift; exec "$@") >> "$1" 2>&1
    sleep 2
done
"""


def survey() -> dict[str, Any]:
    """What this board is and has."""
    state = _data_folder() / "metanas-agent"
    existing = next(path for path in (state, *state.parents) if path.exists())
    return {
        "machine": _machine(),
        "hostname": platform.node(),
        "model": _text(Path("/proc/device-tree/model")).strip("\0\n "),
        "state": str(state),
        "units": str(_units_folder()),
        "free_bytes": shutil.disk_usage(existing).free,
        "systemd": _has_systemd(),
    }


def prepare(state: str, units: str) -> None:
    """Make the folders that files are sent to; those of the agent are closed to others."""
    root = Path(state)
    root.parent.mkdir(parents=True, exist_ok=True)
    for folder in (root, root / "agent", root / "hosts"):
        folder.mkdir(mode=0o700, exist_ok=True)
        folder.chmod(0o700)
    if units:
        Path(units).mkdir(parents=True, exist_ok=True)


def digest(path: str) -> str:
    """SHA-256 of a file, hexadecimal; empty if there is no such file."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


def start_unit(state: str, *, anew: bool) -> bool:
    """See that the agent's systemd unit runs; whether it will also start at the next boot."""
    _stop_detached(Path(state))
    for arguments in (["daemon-reload"], ["enable", UNIT], ["restart" if anew else "start", UNIT]):
        done = _systemctl(*arguments)
        if done.returncode:
            raise SystemExit(f"systemctl --user {arguments[0]}: {_last_line(done.stderr)}")
    return _linger(Path(state))


def start_detached(state: str, command: list[str], *, anew: bool) -> None:
    """Start the agent without systemd, in a session of its own, unless the same runs already.

    A shell starts it again when it ends, and sets its log aside when that grows.
    """
    root = Path(state)
    if not anew and _detached(root) and _read_json(root / "running.json").get("command") == command:
        return
    _stop_detached(root)
    log = root / "agent.log"
    with contextlib.suppress(FileNotFoundError):
        log.replace(root / "agent.log.old")
    shell = ["/bin/sh", "-c", _KEEP_RUNNING, "metanas-agent", str(log), *command]
    process = subprocess.Popen(
        shell,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (root / "running.json").write_text(json.dumps({"pid": process.pid, "command": command}))


def status(state: str, *, systemd: bool, port: int) -> dict[str, Any]:
    """Whether an agent that was just started listens, and what it says if it does not stay up."""
    complaint = _unit_complaint() if systemd else _log_complaint(Path(state) / "agent.log")
    with socket.socket() as probe:
        listens = probe.connect_ex(("127.0.0.1", port)) == 0
    return {"complaint": complaint, "listens": listens}


def keep_agent(state: str, name: str) -> None:
    """Remove every agent's file but the one of this name."""
    for path in (Path(state) / "agent").iterdir():
        if path.name != name:
            path.unlink()


def remove(state: str, units: str) -> None:
    """Stop the agent and remove all that pairing brought."""
    root = Path(state)
    unit = Path(units) / UNIT
    if unit.exists():
        _systemctl("disable", "--now", UNIT)
        unit.unlink()
        _systemctl("daemon-reload")
        _systemctl("reset-failed", UNIT)
    if (root / "lingers").exists():
        subprocess.run(["loginctl", "disable-linger"], capture_output=True, check=False)
    _stop_detached(root)
    if root.is_mount():
        for path in root.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    elif root.exists():
        shutil.rmtree(root)


def _machine() -> str:
    """The architecture of this user space: a 64-bit kernel may run a 32-bit one."""
    machine = platform.machine()
    return "armv8l" if machine == "aarch64" and sys.maxsize < 2**32 else machine


def _data_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share").expanduser()


def _units_folder() -> Path:
    config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return config / "systemd" / "user"


def _has_systemd() -> bool:
    return (
        bool(shutil.which("systemctl")) and _systemctl("show", "--property=Version").returncode == 0
    )


def _systemctl(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    environment.setdefault("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    return subprocess.run(
        ["systemctl", "--user", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def _linger(root: Path) -> bool:
    """Let this user's units run while nobody is logged in; whether they do."""
    if Path("/var/lib/systemd/linger", getpass.getuser()).exists():
        return True
    try:
        done = subprocess.run(["loginctl", "enable-linger"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    if done.returncode == 0:
        (root / "lingers").touch()  # so that `remove` takes it back
    return done.returncode == 0


def _unit_complaint() -> str:
    restarts = _systemctl("show", "--property=NRestarts", "--value", UNIT).stdout.strip()
    if restarts in ("", "0"):
        return ""
    journal = ["journalctl", "--user", "--unit", UNIT, "--lines=20", "--output=cat"]
    with contextlib.suppress(FileNotFoundError):
        said = subprocess.run(journal, capture_output=True, text=True, check=False).stdout
        complaints = [line for line in said.splitlines() if line.startswith("metanas-agent: ")]
        if complaints:
            return complaints[-1]
    return f"it ended, and was started again {restarts} times"


def _log_complaint(log: Path) -> str:
    said = _text(log)
    return "" if not said or "listening on" in said else _last_line(said)


def _detached(root: Path) -> int:
    """The process that keeps the agent running; 0 if there is none."""
    process = _read_json(root / "running.json").get("pid", 0)
    arguments = _text(Path(f"/proc/{process}/cmdline")).split("\0")
    return process if str(root / "agent.log") in arguments else 0


def _stop_detached(root: Path) -> None:
    group = _detached(root)
    if group:
        _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_LIMIT_S
        while _group_lives(group) and time.monotonic() < deadline:
            time.sleep(0.05)
        _signal_group(group, signal.SIGKILL)
    (root / "running.json").unlink(missing_ok=True)


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _group_lives(group: int) -> bool:
    """Whether a process of the group still runs; one that only waits to be buried does not."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        state, _parent, of_group = ([*_text(path).rpartition(")")[2].split(), "", "", ""])[:3]
        if of_group == str(group) and state != "Z":
            return True
    return False


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def _main() -> None:
    os.umask(0o077)
    command, arguments = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(globals()[command](**arguments)))


if __name__ == "__main__":
    _main()
