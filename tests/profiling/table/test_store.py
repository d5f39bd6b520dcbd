import shutil

import pytest

from metanas.errors import TableError
from metanas.profiling import find_table, table_name, tables, user_folder
from metanas.spaces import VGG9Space


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    user_folder().mkdir(parents=True)
    return user_folder()


def test_tables_lie_in_the_users_data_folder(own_folder, tmp_path, monkeypatch):
    assert own_folder == tmp_path / "data" / "metanas" / "tables"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(user_folder()) == "/home/someone/.local/share/metanas/tables"


def test_a_name_says_what_it_holds():
    space = VGG9Space(input_shape=(1, 28, 28), ways=5)
    assert table_name("local", space, "measured") == "local-vgg9-1x28x28-5way.measured.tsv"
    assert table_name("pi0", space, "emulated") == "pi0-vgg9-1x28x28-5way.emulated.tsv"
    strided = VGG9Space(input_shape=(3, 84, 84), ways=20, downsampling="strided")
    assert table_name("eyeriss", strided, "simulated") == (
        "eyeriss-vgg9-3x84x84-20way-downsampling-strided.simulated.tsv"
    )
    narrow = VGG9Space(input_shape=(1, 28, 28), ways=5, global_expansion=False)
    assert table_name("gpu", space, "measured", batch=8) == (
        "gpu-vgg9-1x28x28-5way-batch-8.measured.tsv"
    )
    assert table_name("local", space, "measured", cache="cold", threads=2) == (
        "local-vgg9-1x28x28-5way-cold-threads-2.measured.tsv"
    )
    assert "global_expansion-False" in table_name("local", narrow, "measured")
    small = VGG9Space(input_shape=(1, 28, 28), ways=5, dtype="int8")
    assert table_name("pi4", small, "measured") == ("pi4-vgg9-1x28x28-5way-dtype-int8.measured.tsv")


@pytest.mark.parametrize("device", ["10.0.0.7:7431", "[fe80::1]:7431", "../../etc", "a b", "é"])
def test_a_name_stays_in_its_folder(device):
    name = table_name(device, VGG9Space(input_shape=(1, 28, 28), ways=5), "measured")
    assert "/" not in name
    assert name.isascii()
    assert ":" not in name


def test_finds_tables_by_path_name_or_start(own_folder, tmp_path):
    (own_folder / "a-vgg9.measured.tsv").touch()
    (own_folder / "a-vgg9.simulated.tsv").touch()
    (own_folder / "b-vgg9.measured.tsv").touch()
    (own_folder / "b-vgg9.measured.tsv.journal.jsonl").touch()
    assert [path.name[0] for path in tables(own_folder)] == ["a", "a", "b"]
    assert find_table("b-vgg9") == own_folder / "b-vgg9.measured.tsv"
    assert find_table("a-vgg9.measured") == own_folder / "a-vgg9.measured.tsv"
    shutil.copy(own_folder / "a-vgg9.measured.tsv", tmp_path / "x.tsv")
    assert find_table(str(tmp_path / "x.tsv")) == tmp_path / "x.tsv"
    with pytest.raises(
        TableError, match=r"could be a-vgg9\.measured\.tsv or a-vgg9\.simulated\.tsv"
    ):
        find_table("a-vgg9")
    with pytest.raises(TableError, match="no table 'c-vgg9'"):
        find_table("c-vgg9")
    with pytest.raises(TableError, match=r"no table .*c"):
        find_table(str(tmp_path / "c"))
    with pytest.raises(TableError, match="could be"):
        find_table("")


def test_an_exact_name_is_not_ambiguous(own_folder):
    (own_folder / "a.tsv").touch()
    (own_folder / "a.tsv.tsv").touch()
    assert find_table("a.tsv") == own_folder / "a.tsv"


def test_no_folder_means_no_tables(tmp_path):
    assert list(tables(tmp_path / "absent")) == []
