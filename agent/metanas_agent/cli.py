"""The command `metanas-agent`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from typing import NoReturn

from metanas_agent import __version__
from metanas_agent.describing import describe
from metanas_agent.errors import MetanasError
from metanas_agent.runtimes import RUNTIMES
from metanas_agent.server import Server

DEFAULT_PORT = 7431

_FAILED = 1


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command: exit code 0, 1 (failed, one clear line) or 2 (usage)."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "serve":
            asyncio.run(_serve(options))
        else:
            asyncio.run(_info(options))
    except MetanasError as error:
        print(f"metanas-agent: {error}", file=sys.stderr)
        sys.exit(_FAILED)
    except OSError as error:
        print(f"metanas-agent: {error.strerror or error}", file=sys.stderr)
        sys.exit(_FAILED)
    except KeyboardInterrupt:
        pass  # pressed before the server was up
    sys.exit(0)


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
        default="127.0.0.1",
        help="loopback address to listen on (default %(default)s); to reach the agent from "
        "another machine, forward the port with ssh",
    )
    serve.add_argument(
        "--port",
        type=_port,
        default=DEFAULT_PORT,
        help="port to listen on, 0 for any that is free (default %(default)s)",
    )
    serve.add_argument(
        "--exit-with-parent", action="store_true", help="stop when standard input is closed"
    )
    info = commands.add_parser("info", help="say what this machine is and what it can run")
    info.add_argument("--json", action="store_true", help="print JSON")
    for command in (serve, info):
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
    return parser


async def _serve(options: argparse.Namespace) -> None:
    server = Server(
        host=options.host,
        port=options.port,
        runtimes=options.runtime or sorted(RUNTIMES),
        limit_s=options.limit_s,
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    port = await server.start()
    print(f"metanas-agent {__version__} listening on {options.host}:{port}", flush=True)
    if options.exit_with_parent:
        watch = threading.Thread(target=_wait_for_parent, args=(loop, stop), daemon=True)
        watch.start()
    await stop.wait()
    await server.stop()


def _wait_for_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stop.set)


async def _info(options: argparse.Namespace) -> None:
    runtimes = options.runtime or sorted(RUNTIMES)
    description = asdict(await describe(runtimes, limit_s=options.limit_s))
    if options.json:
        print(json.dumps(description, indent=2))
        return
    for name, value in description.items():
        shown = value
        if isinstance(value, dict):
            shown = ", ".join(f"{key} {text}" for key, text in value.items()) or "none"
        print(f"{name.replace('_', ' '):14} {'unknown' if shown in (None, '') else shown}")


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65_536:
        raise argparse.ArgumentTypeError(f"{text} is no port; use 0 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no time limit")
    return seconds
