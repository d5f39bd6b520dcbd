"""Boards that cannot be unpaired now."""

from __future__ import annotations

import pytest

from metanas.errors import PairingError, SshUnreachableError
from metanas.pairing import paired_devices
from support.ssh_board import SshBoard
from support.ssh_pairing import install, leave


def test_a_board_that_is_gone_is_kept_until_it_is_forgotten(board: SshBoard) -> None:
    device = install(board)
    board.stop()
    with pytest.raises(SshUnreachableError, match="--forget"):
        leave(board, device)
    assert paired_devices() == (device,)


def test_another_board_at_the_same_place_is_left_alone(board: SshBoard) -> None:
    device = install(board)
    path = board.state / "identity/device.json"
    path.write_text(path.read_text().replace(device.id, "f" * 16))
    with pytest.raises(PairingError, match="is another board now"):
        leave(board, device)
    assert board.agents()
