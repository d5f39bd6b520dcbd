"""The emulated boards themselves."""

from __future__ import annotations

import subprocess

import pytest

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]


def test_an_armel_board_is_an_armv6_machine(armel_board):
    assert armel_board.ssh("uname", "-m") == "armv6l\n"
    assert armel_board.ssh("python3", "-c", "import ssl, platform; print(platform.machine())") == (
        "armv6l\n"
    )


def test_an_arm64_board_runs_onnxruntime(arm64_board):
    program = "import onnxruntime, platform; print(platform.machine(), onnxruntime.__version__)"
    assert arm64_board.ssh("python3", "-c", program).startswith("aarch64 1.")


def test_a_reboot_keeps_the_disk_and_nothing_else(armel_board):
    armel_board.ssh("sh", "-c", "touch ~/kept /tmp/lost; sleep 100 >/dev/null 2>&1 &")
    armel_board.reboot()
    assert armel_board.ssh("sh", "-c", "ls ~ /tmp; pgrep sleep || echo gone").split() == [
        *("/home/pi:", "kept"),
        *("/tmp:", "gone"),
    ]


def test_only_the_key_opens_it(armel_board, tmp_path):
    other = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    armel_board.key_file, ours = other, armel_board.key_file
    try:
        with pytest.raises(subprocess.CalledProcessError, match="255"):
            armel_board.ssh("true")
    finally:
        armel_board.key_file = ours
