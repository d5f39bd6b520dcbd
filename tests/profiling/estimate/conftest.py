import pytest

from metanas.profiling import profile
from metanas.profiling.estimate import Estimator
from metanas_agent.timer import TimerSettings
from metanas_simulators import make_simulator

ARRAY = {"backend": "systolic", "rows": 12, "columns": 14, "clock_mhz": 200}


def simulator(dataflow, **settings):
    return make_simulator(f"array-{dataflow}", {**ARRAY, "dataflow": dataflow, **settings})


@pytest.fixture(scope="session")
def tables(space, tmp_path_factory):
    """Whole tables of three simulated devices, by dataflow."""
    folder = tmp_path_factory.mktemp("tables")
    return {
        dataflow: profile(simulator(dataflow), space, TimerSettings(), folder / f"{dataflow}.tsv")
        for dataflow in ("ws", "os", "is")
    }


@pytest.fixture(scope="session")
def estimator(space, tables):
    """Of a device like the one with the dataflow `is`, from the two others."""
    return Estimator(space, [tables["ws"], tables["os"]])


@pytest.fixture
def new_device():
    return simulator("is")
