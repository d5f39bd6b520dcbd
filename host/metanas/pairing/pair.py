"""Pair with a board, and undo it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from metanas.address import Address
from metanas.errors import PairingError, SshUnreachableError
from metanas.pairing import install, records, service
from metanas.pairing.board import Board, Survey
from metanas.pairing.certificates import fingerprint
from metanas.pairing.install import NAME, BoardIdentity
from metanas.pairing.prompts import Prompts
from metanas.pairing.records import PairedDevice
from metanas.pairing.ssh import SshSession
from metanas.pairing.target import SshTarget
from metanas.pairing.trust import host_certificate
from metanas.pairing.zipapp import build_agent_pyz

DEFAULT_PORT = 7431

_CLOCK_LIMIT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person may say about a pairing; what is left open stays as it is, or is found out.

    Args:
        name: of the board.
        profile: name of its device profile.
        port: where its agent shall listen.
        python: path of the interpreter on the board.
        key_file: private SSH key to use.
    """

    name: str = ""
    profile: str = ""
    port: int | None = None
    python: str = ""
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if self.name and not NAME.fullmatch(self.name):
            raise PairingError(
                f"{self.name!r} cannot be a board's name",
                hint="use up to 40 letters, digits, dots, dashes and underscores",
            )


def pair(
    target: str,
    wishes: Wishes,
    *,
    prompts: Prompts,
    say: Callable[[str], None],
    profile_for: Callable[[Survey], str],
    serve_options: Callable[[str], Sequence[str]],
    reach: Callable[[PairedDevice], None],
) -> PairedDevice:
    """Install the agent on a board, or bring it up to date, and let this host use it.

    Args:
        target: `[USER@]HOST[:PORT]` of its SSH server.
        wishes: what the person said.
        prompts: how the person is asked.
        say: is told each step, and each warning.
        profile_for: gives the device profile that a board shall have, empty where none fits, and
            refuses a wished one that does not.
        serve_options: gives what a profile adds to the command line of `metanas-agent serve`.
        reach: talks to the agent over TLS; raises AgentUnreachableError where it does not answer.

    Raises:
        PairingError: it could not be done; each subclass is one cause.
        BrokenIdentityError: this host's own key pair is not whole.
        InsecureKeyError: others can read this host's key, or the SSH key.
    """
    certificate, agent = host_certificate(), build_agent_pyz()
    called = SshTarget.parse(target)
    with SshSession(called, prompts, key_file=wishes.key_file) as session:
        board = Board(session, python=wishes.python)
        survey = board.survey()
        say(f"{survey.hostname}: {survey.model or survey.machine}, Python {board.python_version}")
        _look_at_clock(board, say)
        profile = profile_for(survey)
        path = install.send_agent(board, survey, agent)
        identity, changed = _identity(board, survey, wishes)
        install.add_host(board, survey, certificate)
        known = next((one for one in records.paired_devices() if one.id == identity.id), None)
        device = PairedDevice(
            id=identity.id,
            name=identity.name,
            address=str(Address(called.host, identity.port)),
            fingerprint=fingerprint(identity.certificate),
            certificate=identity.certificate,
            profile=wishes.profile or (known.profile if known else profile),
            ssh=str(called),
            agent_sha256=agent.sha256,
        )
        records.save(device)
        if same := [one.id for one in records.paired_devices() if one.name == device.name][1:]:
            say(
                f"note: {len(same) + 1} paired boards are named {device.name}; say which one you "
                f"mean with a start of its id, as in {device.name}@{device.id[:6]}"
            )
        state = str(survey.state)
        command = [identity.python, str(path), "serve", "--state", state]
        command += ["--port", str(identity.port), *serve_options(device.profile)]
        lasting = service.start(board, survey, command, anew=changed)
        service.wait_for(device, board, survey, reach)
        board.call("keep_agent", state=state, name=path.name)
    if not lasting:
        say(service.not_lasting(survey, called.user))
    return device


def unpair(
    device: PairedDevice, *, prompts: Prompts, python: str = "", key_file: Path | None = None
) -> bool:
    """Take this host's rights on a board back; the last host to leave takes the agent along.

    Args:
        device: the board's record, which is removed at the end.
        prompts: how the person is asked.
        python: path of the interpreter on the board, if not one of the usual names.
        key_file: private SSH key to use.

    Returns:
        Whether the agent was removed; it stays where other hosts are paired with the board.

    Raises:
        PairingError: it could not be done, and the record is kept.
    """
    with _session_with(device, prompts, key_file) as session:
        board = Board(session, python=python)
        survey = board.survey()
        identity = install.read_identity(board, survey)
        if identity is not None and identity.id != device.id:
            raise PairingError(
                f"{device.ssh} is another board now: {identity.name} ({identity.id})",
                hint=f"forget the one that is gone: metanas-profile unpair {device.id} --forget",
            )
        board.remove(survey.state / "hosts" / f"{fingerprint(host_certificate())}.pem")
        last = not board.names(survey.state / "hosts")
        if last:
            board.call("remove", state=survey.state, units=survey.units)
    records.remove(device)
    return last


def _session_with(device: PairedDevice, prompts: Prompts, key_file: Path | None) -> SshSession:
    try:
        return SshSession(SshTarget.parse(device.ssh), prompts, key_file=key_file)
    except SshUnreachableError as error:
        raise SshUnreachableError(
            error.what, hint=f"if the board is gone: metanas-profile unpair {device.id} --forget"
        ) from error


def _look_at_clock(board: Board, say: Callable[[str], None]) -> None:
    clock_s = board.clock_s()
    if clock_s is None or abs(clock_s - time.time()) > _CLOCK_LIMIT_S:
        shown = "unknown" if clock_s is None else time.strftime("%Y-%m-%d", time.gmtime(clock_s))
        say(f"warning: the board's clock is wrong ({shown}); pairing does not depend on it")


def _identity(board: Board, survey: Survey, wishes: Wishes) -> tuple[BoardIdentity, bool]:
    """The board's identity as wished, and whether it is another than its agent runs with."""
    found = install.read_identity(board, survey)
    if found is None:
        name = wishes.name or _usable_name(survey.hostname)
        port = DEFAULT_PORT if wishes.port is None else wishes.port
        return install.give_identity(board, survey, name=name, port=port), True
    wished = replace(
        found,
        name=wishes.name or found.name,
        port=found.port if wishes.port is None else wishes.port,
        python=_python(board, found, wishes),
    )
    if wished != found:
        board.write(survey.state / "identity" / "device.json", wished.device_json())
    return wished, wished != found


def _python(board: Board, found: BoardIdentity, wishes: Wishes) -> str:
    """The interpreter that was chosen once, as long as it is there."""
    if wishes.python or found.python == board.python or not board.can_run(found.python):
        return board.python
    return found.python


def _usable_name(hostname: str) -> str:
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", hostname.partition(".")[0]).strip("-._")[:40]
    return name or "board"
