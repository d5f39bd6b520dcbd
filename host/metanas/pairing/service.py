"""The agent as a service on the board: started, kept running, and seen to answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from metanas.errors import AgentUnreachableError, InstallationError, UntrustedError
from metanas.pairing.board import Board, Survey
from metanas.pairing.records import PairedDevice
from metanas.pairing.unit import UNIT, unit_text

_START_LIMIT_S = 120.0  # a Pi Zero compiles the agent at its start
_REACH_LIMIT_S = 15.0
_ASK_AGAIN_S = 0.5


def start(board: Board, survey: Survey, command: list[str], *, anew: bool) -> bool:
    """See that the agent runs with this command; whether it will also start at the next boot.

    An agent that runs with the same command already is left alone, unless `anew`.
    """
    if not survey.systemd:
        board.call("start_detached", state=survey.state, command=command, anew=anew)
        return False
    unit, text = survey.units / UNIT, unit_text(command).encode()
    same = board.read(unit) == text
    if not same:
        board.call("prepare", state=survey.state, units=survey.units)
        board.write(unit, text, private=False)
    return bool(board.call("start_unit", state=survey.state, anew=anew or not same))


def not_lasting(survey: Survey, user: str) -> str:
    """What to tell a person whose agent will not start at the next boot."""
    if survey.systemd:
        return (
            "warning: the agent stops when you log out of the board; let it stay with: "
            f"sudo loginctl enable-linger {user}"
        )
    return (
        "warning: the board has no systemd for this user, so the agent will not come back after "
        "a reboot; run this command again then"
    )


def wait_for(
    device: PairedDevice, board: Board, survey: Survey, reach: Callable[[PairedDevice], None]
) -> None:
    """Talk to the agent until it answers.

    Raises:
        InstallationError: it does not start, or it cannot be reached from here.
    """
    port = int(device.address.rpartition(":")[2])
    began = time.monotonic()
    listens_since = None
    while True:
        try:
            reach(device)
        except (AgentUnreachableError, UntrustedError) as error:
            complaint, listens = board.agent_status(survey, port)
            now = time.monotonic()
            if listens and listens_since is None:
                listens_since = now
            if complaint or now - began > _START_LIMIT_S:
                raise InstallationError(
                    f"the agent on {device.name} does not start: {complaint or 'it says nothing'}",
                    hint="mend that on the board, then pair again",
                ) from error
            if listens_since is not None and now - listens_since > _REACH_LIMIT_S:
                raise InstallationError(
                    f"the agent on {device.name} runs, but cannot be reached: {error.what}",
                    hint=f"open TCP port {port} between here and the board, then pair again",
                ) from error
            time.sleep(_ASK_AGAIN_S)
        else:
            return
