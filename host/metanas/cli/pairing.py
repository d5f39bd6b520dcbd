"""The commands `pair`, `unpair` and `agent-file` of `metanas-profile`."""

from __future__ import annotations

import getpass
import sys
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metanas.cli.options import Json
from metanas.cli.shell import console, print_json, printable
from metanas.devices import (
    Address,
    AgentDevice,
    BoardProfile,
    DeviceDescription,
    TlsEndpoint,
    device_names,
    device_profile,
)
from metanas.errors import (
    DeviceBusyError,
    DeviceProfileError,
    PairingError,
    UnknownDeviceError,
)
from metanas.files import write_bytes
from metanas.pairing import PairedDevice, client_context, find_paired, remove

if TYPE_CHECKING:  # paramiko and cryptography are slow to import
    from metanas.pairing.board import Survey
    from metanas.pairing.prompts import Prompts

KeyFile = Annotated[
    Path | None, typer.Option("--identity-file", "-i", help="Private SSH key to use.")
]
AcceptNew = Annotated[
    bool,
    typer.Option(
        "--accept-new-host-key", help="Trust a board that SSH does not know yet, without asking."
    ),
]
Python = Annotated[
    str, typer.Option(help="Python on the board, if not its python3: a venv's, say.")
]

_NOT_BOARDS = ("all",)  # what --device takes besides names


def pair(
    target: Annotated[str, typer.Argument(help="[USER@]HOST[:PORT] of the board's SSH server.")],
    *,
    name: Annotated[str, typer.Option(help="Name for the board; its host name if not given.")] = "",
    profile: Annotated[
        str, typer.Option(help="Its device profile, such as pi0; found out if not given.")
    ] = "",
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65_535, help="Where its agent shall listen; 7431 if not given."),
    ] = None,
    python: Python = "",
    key_file: KeyFile = None,
    accept_new: AcceptNew = False,
    json: Json = False,
) -> None:
    """Install the agent on a board by SSH, or bring it up to date, and let this host use it.

    The board needs Python 3.11 or newer and nothing else, not even the internet.
    """
    from metanas.pairing.pair import Wishes  # noqa: PLC0415 - slow to import
    from metanas.pairing.pair import pair as pair_with  # noqa: PLC0415

    _check_name(name)
    answers: list[DeviceDescription] = []

    def reach(reached: PairedDevice) -> None:
        with suppress(DeviceBusyError):  # it works for somebody, so it runs
            answers.append(_describe(reached))

    device = pair_with(
        target,
        Wishes(name=name, profile=profile, port=port, python=python, key_file=key_file),
        prompts=_prompts(accept_new=accept_new),
        say=_say,
        profile_for=lambda survey: _profile_for(survey, wished=profile),
        serve_options=_serve_options,
        reach=reach,
    )
    description = answers[-1] if answers else None
    if json:
        described = asdict(description) if description else None
        print_json({**asdict(device), "description": described})
    else:
        _show(device, description)


def unpair(
    name: Annotated[str, typer.Argument(help="Name or id of a paired board.")],
    *,
    forget: Annotated[
        bool, typer.Option("--forget", help="The board is gone: only forget it here.")
    ] = False,
    python: Python = "",
    key_file: KeyFile = None,
    accept_new: AcceptNew = False,
) -> None:
    """Take the agent off a board, with all that pairing brought there, and forget the board."""
    from metanas.pairing.pair import unpair as unpair_from  # noqa: PLC0415 - slow to import

    device = find_paired(name)
    if device is None:
        raise UnknownDeviceError(
            f"no paired board is named {name!r}", hint="see which are: metanas-profile devices"
        )
    if forget:
        remove(device)
        _say(f"forgot {device.name} ({device.id}); what is on the board stays there")
        return
    prompts = _prompts(accept_new=accept_new)
    if unpair_from(device, prompts=prompts, python=python, key_file=key_file):
        _say(f"unpaired {device.name}: the agent and its keys are gone from the board")
    else:
        _say(f"unpaired {device.name}; its agent stays for the other hosts that are paired with it")


def agent_file(
    *,
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("metanas-agent.pyz"),
    json: Json = False,
) -> None:
    """Write the agent as one file that any Python 3.11 or newer runs, with nothing installed."""
    from metanas.pairing.zipapp import build_agent_pyz  # noqa: PLC0415 - slow to import

    agent = build_agent_pyz()
    write_bytes(out, agent.data)
    if json:
        print_json({"file": str(out), "size_bytes": len(agent.data), "sha256": agent.sha256})
    else:
        _say(f"{out}: {len(agent.data):,} bytes; start it with: python3 {out} serve")


def _describe(device: PairedDevice) -> DeviceDescription:
    address = Address.parse(device.address)
    if address is None:
        raise PairingError(f"{device.address!r} is no address", hint="give the board's own")
    endpoint = TlsEndpoint(address.host, address.port, client_context(device), device.fingerprint)
    with closing(AgentDevice(device.name, endpoint)) as agent:
        return agent.describe()


def _check_name(name: str) -> None:
    """A board cannot bear the name of a device that is no board."""
    taken = name in _NOT_BOARDS
    if name in device_names():
        taken = not isinstance(device_profile(name), BoardProfile)
    if taken:
        raise PairingError(f"{name!r} means another device already", hint="choose another --name")


def _profile_for(survey: Survey, *, wished: str) -> str:
    """The name of the board's profile; empty where none fits."""
    boards = {}
    for name in device_names():
        profile = device_profile(name)
        if isinstance(profile, BoardProfile):
            boards[name] = profile
    if not wished:
        fitting = [name for name, profile in boards.items() if _fits(profile, survey)]
        fitting.sort(key=lambda name: not boards[name].models)  # first what names the model
        return next(iter(fitting), "")
    if wished not in boards:
        raise UnknownDeviceError(
            f"{wished!r} is no board's profile", hint=f"choose from {', '.join(boards)}"
        )
    if survey.machine not in boards[wished].abis:
        raise DeviceProfileError(
            f"{wished} is a profile for {', '.join(boards[wished].abis)}; this board is "
            f"{survey.machine}",
            hint="leave --profile out, or choose one that fits",
        )
    return wished


def _fits(profile: BoardProfile, survey: Survey) -> bool:
    """An accelerator is not seen from outside: a profile with one is for who asks for it."""
    models = profile.models
    return (
        survey.machine in profile.abis
        and profile.accelerator == "cpu"
        and (not models or survey.model.startswith(models))
    )


def _serve_options(name: str) -> tuple[str, ...]:
    profile = device_profile(name) if name else None
    if not isinstance(profile, BoardProfile) or profile.accelerator == "cpu":
        return ()
    return ("--accelerator", profile.accelerator)


def _prompts(*, accept_new: bool) -> Prompts:
    from metanas.pairing.prompts import Prompts  # noqa: PLC0415 - as above

    if not sys.stdin.isatty():
        return Prompts(confirm=lambda _: accept_new)
    return Prompts(
        confirm=lambda question: accept_new or typer.confirm(printable(question), err=True),
        secret=lambda question: getpass.getpass(printable(question)),
    )


def _show(device: PairedDevice, description: DeviceDescription | None) -> None:
    _say(f"paired with {device.name} ({device.id}) at {device.address}")
    if description:
        runtimes = ", ".join(f"{name} {text}" for name, text in description.runtimes.items())
        _say(f"  {description.processor}, {description.cores} cores, {description.system}")
        _say(f"  runtimes: {runtimes or 'none'}")
        for name, reason in description.unavailable.items():
            _say(f"  no {name}: {reason}")
    else:
        _say("  it is busy now, so it was not asked what it can run")
    if device.profile:
        _say(f"  profile {device.profile}; measure it with: metanas-profile --device {device.name}")
    else:
        _say("  no device profile fits; without one, its layers are measured with onnxruntime")


def _say(line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)
