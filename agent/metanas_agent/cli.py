"""The command `metanas-agent`."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn

from metanas_agent import __version__
from metanas_agent.advertising import Advertisement
from metanas_agent.announcement import Announcement
from metanas_agent.artifacts import ArtifactStore
from metanas_agent.commands.bundles import add_bundle_commands
from metanas_agent.commands.learning import add_learning_commands
from metanas_agent.commands.state import add_state_option, state_of
from metanas_agent.describing import describe
from metanas_agent.doctor import examine
from metanas_agent.errors import MetanasError
from metanas_agent.files import DISK_FULL
from metanas_agent.identity import Identity, load_identity
from metanas_agent.job import Workshop
from metanas_agent.listeners import Listener, LoopbackListener, TlsListener, UnixListener
from metanas_agent.runtimes import ACCELERATORS, RUNTIMES
from metanas_agent.server import LEASE_S, Server

DEFAULT_PORT = 7431

_FAILED = 1
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command: exit code 0, 1 (failed, or `doctor` warns), 2 (usage), 130 (interrupted)."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except MetanasError as error:
        print(f"metanas-agent: {error}", file=sys.stderr)
        sys.exit(_FAILED)
    except OSError as error:
        print(f"metanas-agent: {_in_words(error)}", file=sys.stderr)
        sys.exit(_FAILED)
    sys.exit(0)


def _in_words(error: OSError) -> str:
    where = f": {error.filename}" if error.filename else ""
    full = error.errno in DISK_FULL
    hint = "free some space and run it again" if full else "check the path and its rights"
    return f"{error.strerror or error}{where}" + (f" ({hint})" if full or where else "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="metanas-agent",
        description="Times layers and runs models on this machine for a metanas host.",
    )
    parser.add_argument("--version", action="version", version=f"metanas-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="answer a metanas host until stopped")
    serve.add_argument(
        "--host",
        help="address to listen on (default: every address once a host is paired, which is then "
        "the only one to be let in, and loopback until then)",
    )
    serve.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="port to listen on, 0 for any that is free (default %(default)s)",
    )
    serve.add_argument(
        "--unix",
        type=Path,
        metavar="PATH",
        help="listen on a socket in the file system instead, for programs of the same user",
    )
    serve.add_argument(
        "--lease-s",
        type=_seconds,
        default=LEASE_S,
        help="a host that is silent for so long loses the device (default %(default)s)",
    )
    serve.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="stop when standard input is closed, and remove the folder of --unix if it is empty",
    )
    info = commands.add_parser("info", help="say what this machine is and what it can run")
    doctor = commands.add_parser(
        "doctor",
        help="say what on this machine could spoil measurements, and what mends it",
        description="Says what on this machine could spoil measurements, and what mends it. "
        "Exit code 1 if there is a warning.",
    )
    for command in (info, doctor):
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (serve, info):
        add_state_option(command)
        command.add_argument(
            "--runtime",
            action="append",
            choices=sorted(RUNTIMES),
            help="a runtime to offer; may be repeated (default: all)",
        )
        command.add_argument(
            "--limit-s",
            type=_seconds,
            default=120.0,
            help="longest time for one layer or model beyond its timing budget, in seconds "
            "(default %(default)s)",
        )
        command.add_argument(
            "--accelerator",
            choices=ACCELERATORS,
            default="cpu",
            help="what a runtime that knows several shall use (default %(default)s)",
        )
    serve.set_defaults(run=lambda options: asyncio.run(_serve(options)))
    info.set_defaults(run=lambda options: asyncio.run(_info(options)))
    doctor.set_defaults(run=_doctor)
    add_learning_commands(commands)
    add_bundle_commands(commands)
    return parser


async def _serve(options: argparse.Namespace) -> None:
    state = state_of(options)
    identity = load_identity(state.root)
    workshop = Workshop(
        runtimes=tuple(options.runtime or sorted(RUNTIMES)),
        accelerator=options.accelerator,
        limit_s=options.limit_s,
        artifacts=ArtifactStore(state),
        device_id=identity.id if identity else "",
        name=identity.name if identity else "",
    )
    listener = _listener(options, identity)
    server = Server([listener], workshop, lease_s=options.lease_s)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    (address,) = await server.start()
    print(f"metanas-agent {__version__} listening on {address}", flush=True)
    if options.exit_with_parent:
        watch = threading.Thread(target=_wait_for_parent, args=(loop, stop), daemon=True)
        watch.start()
    async with _advertised(listener, workshop, address):
        await stop.wait()
    await server.stop()
    if options.exit_with_parent and options.unix:
        with suppress(OSError):  # a parent that was killed could not remove what it had made
            options.unix.parent.rmdir()


def _listener(options: argparse.Namespace, identity: Identity | None) -> Listener:
    if options.unix:
        return UnixListener(options.unix)
    if identity and identity.hosts:
        return TlsListener(identity, options.host, options.port)
    return LoopbackListener("127.0.0.1" if options.host is None else options.host, options.port)


def _advertised(
    listener: Listener, workshop: Workshop, address: str
) -> AbstractAsyncContextManager[object]:
    """Tell the network of a paired agent; nobody there could use another one."""
    if not isinstance(listener, TlsListener):
        return nullcontext()

    async def announce() -> Announcement:
        description = await describe(
            workshop.runtimes, accelerator=workshop.accelerator, limit_s=workshop.limit_s
        )
        return Announcement.of(listener.identity, description)

    port = int(address.rpartition(":")[2])
    return Advertisement(announce, port, host=listener.host)


def _wait_for_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


async def _info(options: argparse.Namespace) -> None:
    runtimes = options.runtime or sorted(RUNTIMES)
    identity = load_identity(state_of(options).root)
    description = asdict(
        replace(
            await describe(runtimes, accelerator=options.accelerator, limit_s=options.limit_s),
            device_id=identity.id if identity else "",
            name=identity.name if identity else "",
        )
    )
    if options.json:
        print(json.dumps(description, indent=2))
        return
    for name, value in description.items():
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{key} {text}" for key, text in value.items()) or "none"
        print(f"{name.replace('_', ' '):14} {'unknown' if shown in (None, '') else shown}")


def _doctor(options: argparse.Namespace) -> None:
    findings = examine()
    if options.json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{finding.verdict:8} {finding.check:22} {finding.found}")
            for text in filter(None, (finding.advice, finding.command and f"$ {finding.command}")):
                print(f"{'':8} {'':22} {text}")
    if any(finding.verdict == "warning" for finding in findings):
        sys.exit(_FAILED)


def _port(text: str) -> int:
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port < 65_536:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; use 0 to 65535")
    return port


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time limit; use a number of seconds above 0 and below 1000000"
        )
    return seconds
