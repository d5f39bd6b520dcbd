import pytest

from metanas.profiling import profile
from metanas.runs import RunFolder, RunSettings
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator

ARRAY = {"backend": "systolic", "rows": 12, "columns": 14, "clock_mhz": 200, "dataflow": "ws"}


@pytest.fixture(scope="session")
def settings():
    """The embedded glyphs, and of the space only the base channels: a moment's work."""
    return RunSettings(
        ways=3, shots=1, queries=2, train_queries=2, global_expansion=False, workers=1, seed=0
    )


@pytest.fixture(scope="session")
def table_file(settings, glyphs, tmp_path_factory):
    """A table of a simulated device, made by profiling it."""
    path = tmp_path_factory.mktemp("table") / "some name.tsv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # nothing here pulls the plug
        profile(make_simulator("array", ARRAY), settings.make_space(glyphs), TimerSettings(), path)
    return path


@pytest.fixture(scope="module")
def folder(settings, glyphs, tmp_path_factory):
    return RunFolder.create(tmp_path_factory.mktemp("runs") / "run", settings)
