import pytest

from support.small_batches import BATCH, WINDOW


@pytest.fixture
def small_batches(monkeypatch):
    """So that a small space takes several of them."""
    monkeypatch.setattr("metanas.profiling.sweep.asking.BATCH", BATCH)
    monkeypatch.setattr("metanas.profiling.sweep.asking.WINDOW", WINDOW)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "tables" / "toy.tsv"


@pytest.fixture
def journal(out):
    return out.with_name("toy.tsv.journal.jsonl")
