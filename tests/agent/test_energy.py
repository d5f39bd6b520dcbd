"""Energy counters of made-up machines, and calls that use a known power."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metanas_agent.energy import PowerSensor, RaplCounter, energy_of_call, find_counter


@pytest.fixture
def write(tmp_path):
    def write(path, value):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        return file

    return write


@pytest.fixture
def package(write):
    """Makes a package's zone; its folder."""

    def package(number, energy_uj, *, range_uj=1_000_000, name=None):
        zone = f"sys/class/powercap/intel-rapl:{number}"
        write(f"{zone}/name", name or f"package-{number}")
        write(f"{zone}/max_energy_range_uj", range_uj)
        return write(f"{zone}/energy_uj", energy_uj).parent

    return package


def test_counts_up_from_when_it_was_made(package):
    folder = package(0, 5_000)
    counter = RaplCounter([folder])
    assert counter.read_mj() == 0.0
    (folder / "energy_uj").write_text("7500")
    assert counter.read_mj() == 2.5


@given(st.lists(st.integers(0, 999_999), max_size=30))
def test_a_counter_that_begins_again_goes_on(tmp_path_factory, rises):
    folder = tmp_path_factory.mktemp("package")
    (folder / "max_energy_range_uj").write_text("1000000")
    (folder / "energy_uj").write_text("999000")
    counter = RaplCounter([folder])
    count = 999_000
    for rise in rises:
        count += rise
        (folder / "energy_uj").write_text(str(count % 1_000_000))
        assert counter.read_mj() == pytest.approx((count - 999_000) / 1e3)


def test_takes_the_package_of_the_core(package, write, tmp_path):
    package(0, 0)
    other = package(1, 0)
    package("0:0", 0, name="core")
    write("sys/devices/system/cpu/cpu5/topology/physical_package_id", 1)
    own, both = find_counter(tmp_path, 5), find_counter(tmp_path, None)
    (other / "energy_uj").write_text("3000")
    (tmp_path / "sys/class/powercap/intel-rapl:0/energy_uj").write_text("4000")
    (tmp_path / "sys/class/powercap/intel-rapl:0:0/energy_uj").write_text("999")
    assert own.read_mj() == 3.0
    assert both.read_mj() == 7.0


@pytest.mark.parametrize("damage", ["missing", "unreadable", "rubbish"])
def test_what_cannot_be_read_is_no_counter(package, tmp_path, damage):
    path = package(0, 0) / "energy_uj"
    path.unlink()
    if damage == "unreadable":
        path.mkdir()  # as root reads everything
    if damage == "rubbish":
        path.write_text("much\n")
    assert find_counter(tmp_path, None) is None


def test_a_machine_without_counters_has_none(tmp_path):
    assert find_counter(tmp_path, 0) is None


@pytest.mark.parametrize(("name", "found"), [("ina219", True), ("coretemp", False)])
def test_finds_a_power_sensor(write, tmp_path, name, found):
    write("sys/class/hwmon/hwmon3/name", name)
    write("sys/class/hwmon/hwmon3/power1_input", 2_500_000)
    write("sys/class/hwmon/hwmon3/update_interval", 4)
    counter = find_counter(tmp_path, 0)
    assert (counter is not None) is found
    if found:
        assert counter.update_ms == 4.0


def test_a_power_sensor_is_added_up(write):
    path = write("power1_input", 2_000_000)
    now_s = 10.0
    sensor = PowerSensor(path, clock_s=lambda: now_s)
    now_s = 10.5
    assert sensor.read_mj() == pytest.approx(1000.0)
    path.write_text("4000000")
    now_s = 11.0
    assert sensor.read_mj() == pytest.approx(3000.0)
    path.unlink()
    assert sensor.read_mj() is None


class Machine:
    """Calls of `call_ms` each at `power_w`; its counter steps once a millisecond."""

    update_ms = 1.0

    def __init__(self, call_ms, power_w=5.0, steps=True):
        self.call_ms, self.power_w, self.steps = call_ms, power_w, steps
        self.now_ms = 0.3

    def sample(self, repeats):
        self.now_ms += repeats * self.call_ms
        return repeats * self.call_ms

    def read_mj(self):
        return self.power_w * (self.now_ms // self.update_ms) if self.steps else 7.0

    def clock_ns(self):
        return round(self.now_ms * 1e6)

    def energy(self, repeats):
        return energy_of_call(self, self.sample, repeats, clock_ns=self.clock_ns)


@pytest.mark.parametrize(("call_ms", "repeats"), [(0.003, 33), (0.04, 3), (0.7, 1), (30.0, 1)])
def test_energy_of_a_call_is_power_times_its_time(call_ms, repeats):
    machine = Machine(call_ms)
    assert machine.energy(repeats) == pytest.approx(5.0 * call_ms, rel=0.05)
    assert machine.now_ms < 13.0 + 3 * call_ms


def test_a_counter_that_stands_still_tells_nothing():
    machine = Machine(0.01, steps=False)
    assert machine.energy(10) is None
    assert machine.now_ms < 110


def test_a_counter_that_fails_tells_nothing():
    machine = Machine(0.01)
    machine.read_mj = lambda: None
    assert machine.energy(10) is None
