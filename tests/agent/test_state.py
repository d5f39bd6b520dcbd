import os
import stat

import pytest

from metanas_agent.errors import InsecureKeyError
from metanas_agent.state import StateFolder


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_new_folders_are_closed_to_others(tmp_path):
    state = StateFolder(tmp_path / "new" / "state")
    before = os.umask(0)
    try:
        assert state.make(state.bundles) == state.bundles
    finally:
        os.umask(before)
    assert (mode_of(state.root), mode_of(state.bundles)) == (0o700, 0o700)
    assert state.make(state.bundles) == state.bundles


def test_a_folder_that_is_there_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o755)
    state = StateFolder(tmp_path)
    state.make(state.bundles)
    assert (mode_of(tmp_path), mode_of(state.bundles)) == (0o755, 0o700)


@pytest.mark.parametrize("mode", [0o1777, 0o770, 0o702])
@pytest.mark.parametrize("name", [".", "artifacts"])
def test_a_folder_that_others_can_write_into_is_refused_and_left_alone(tmp_path, mode, name):
    state = StateFolder(tmp_path)
    folder = tmp_path / name
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InsecureKeyError, match=f"others can write into .*mode {mode:04o}"):
        state.make(state.artifacts)
    assert mode_of(folder) == mode
    assert sorted(tmp_path.iterdir()) == before
    folder.chmod(0o700)


def test_a_folder_of_another_user_is_refused(tmp_path):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(tmp_path, 12345, -1)
    state = StateFolder(tmp_path)
    with pytest.raises(InsecureKeyError, match="belongs to another user"):
        state.make(state.bundles)
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    state = StateFolder(tmp_path / "file")
    with pytest.raises(NotADirectoryError, match="it is a file"):
        state.make(state.bundles)
