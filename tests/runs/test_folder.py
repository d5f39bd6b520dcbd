import json
from dataclasses import asdict, replace

import pytest

from metanas.errors import RunFolderError, SettingsMismatchError, TableError
from metanas.runs import RunFolder, RunSettings

SETTINGS = RunSettings(ways=3, seed=4)


def test_a_new_folder_keeps_its_settings(tmp_path):
    path = tmp_path / "runs" / "first"
    folder = RunFolder.create(path, SETTINGS)
    assert RunFolder.open(path) == folder
    assert folder.settings == SETTINGS
    written = json.loads((path / "run.json").read_text())
    assert written["settings"] == asdict(SETTINGS)
    assert written["provenance"]["seed"] == 4


def test_the_same_settings_go_on(tmp_path):
    RunFolder.create(tmp_path, SETTINGS)
    before = (tmp_path / "run.json").read_bytes()
    assert RunFolder.create(tmp_path, SETTINGS).settings == SETTINGS
    assert (tmp_path / "run.json").read_bytes() == before


def test_other_settings_are_refused(tmp_path):
    RunFolder.create(tmp_path, SETTINGS)
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(SettingsMismatchError, match="shots was 1, not 5, ways was 3, not 20"):
        RunFolder.create(tmp_path, replace(SETTINGS, ways=20, shots=5))
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_folder_that_is_no_run(tmp_path):
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(RunFolderError, match="metanas train"):
            RunFolder.open(path)
    assert not (tmp_path / "absent").exists()


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "{}", '{"settings": 3}', '{"settings": {"colour": "red"}}', "\x00"],
)
def test_a_broken_run_file_is_refused_and_kept(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    for read in (RunFolder.open, lambda path: RunFolder.create(path, SETTINGS)):
        with pytest.raises(RunFolderError, match=r"run\.json"):
            read(tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_file_that_a_stage_has_not_made_names_the_command(tmp_path):
    folder = RunFolder.create(tmp_path, SETTINGS)
    with pytest.raises(RunFolderError, match="metanas adapt"):
        folder.read_json(folder.search, made_by="metanas adapt")
    folder.search.write_text('{"winner": ')
    with pytest.raises(RunFolderError, match=r"search\.json"):
        folder.read_json(folder.search, made_by="metanas adapt")


def test_a_broken_table_is_not_kept(tmp_path):
    folder = RunFolder.create(tmp_path, SETTINGS)
    assert folder.tables == {}
    broken = tmp_path / "broken.tsv"
    broken.write_text("nonsense")
    with pytest.raises(TableError):
        folder.keep_table(broken)
    assert folder.tables == {}
