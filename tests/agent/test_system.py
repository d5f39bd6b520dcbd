import os

import pytest

from metanas_agent.sensors import Sensors
from metanas_agent.system import System


@pytest.fixture
def write(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


@pytest.fixture
def no_vcgencmd(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.fixture
def board(write, no_vcgencmd):
    write("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 108.00\n")
    write("proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    write("proc/meminfo", "MemTotal:        3884000 kB\nMemAvailable:    3000000 kB\n")
    write("sys/class/thermal/thermal_zone0/type", "gpu-thermal\n")
    write("sys/class/thermal/thermal_zone0/temp", "99000\n")
    write("sys/class/thermal/thermal_zone1/type", "cpu-thermal\n")
    write("sys/class/thermal/thermal_zone1/temp", "48312\n")
    for core, clock in enumerate(("1500000", "600000")):
        write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", clock)
        write(f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor", "ondemand\n")
    write("sys/devices/platform/soc/soc:firmware/get_throttled", "50005\n")


def test_reads_a_board(board, tmp_path):
    system = System(tmp_path)
    state = system.state(core=1)
    assert state.clock_mhz == 600.0
    assert state.governor == "ondemand"
    assert state.temperature_c == pytest.approx(48.312)
    assert state.throttled == 0x50005
    assert system.processor() == "Raspberry Pi 4 Model B Rev 1.4"
    assert system.memory_bytes() == 3884000 * 1024
    assert system.available_memory_bytes() == 3000000 * 1024


def test_does_not_guess(no_vcgencmd, tmp_path):
    system = System(tmp_path)
    state = system.state(core=0)
    assert (state.clock_mhz, state.governor, state.temperature_c, state.throttled) == (None,) * 4
    assert system.processor() == ""
    assert system.memory_bytes() is None


def test_an_unpinned_process_has_a_clock_only_where_cores_share_one(board, write, tmp_path):
    assert System(tmp_path).state().clock_mhz is None
    write("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1500000")
    assert System(tmp_path).state().clock_mhz == 1500.0
    write("sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq", "1800000")
    assert System(tmp_path).state().clock_mhz is None


def test_names_a_pc_processor(write, no_vcgencmd, tmp_path):
    write("proc/cpuinfo", "processor : 0\nmodel name\t: AMD EPYC\nflags : x\n\nmodel name : AMD\n")
    assert System(tmp_path).processor() == "AMD EPYC"


def test_garbage_is_not_a_number(board, write, tmp_path):
    write("sys/class/thermal/thermal_zone1/temp", "warm\n")
    write("sys/devices/platform/soc/soc:firmware/get_throttled", "no\n")
    state = System(tmp_path).state(core=0)
    assert state.temperature_c is None
    assert state.throttled is None


@pytest.mark.parametrize(
    ("script", "bits"), [("echo throttled=0x50004", 0x50004), ("echo sorry; exit 1", None)]
)
def test_asks_the_firmware_where_there_is_no_file(write, monkeypatch, tmp_path, script, bits):
    write("bin/vcgencmd", f"#!/bin/sh\n{script}\n")
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    assert System(tmp_path).state().throttled == bits


ARM_CPUINFO = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 7\n"
X86_CPUINFO = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu vme de pse\n"
X86_MODALIAS = "cpu:type:x86,ven0002fam0019mod0001:feature:,0000"


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "modalias", "emulated"),
    [
        ("armv6l", ARM_CPUINFO, "", False),
        ("armv6l", X86_CPUINFO, "", True),
        ("armv6l", ARM_CPUINFO, X86_MODALIAS, True),  # newer emulators write a cpuinfo
        ("aarch64", ARM_CPUINFO, "cpu:type:aarch64:feature:,0000", False),
        ("aarch64", X86_CPUINFO, X86_MODALIAS, True),
        ("x86_64", X86_CPUINFO, X86_MODALIAS, False),
        ("i686", X86_CPUINFO, X86_MODALIAS, False),
        ("x86_64", ARM_CPUINFO, "", True),
        ("riscv64", X86_CPUINFO, "", True),
        ("riscv64", "processor\t: 0\nisa\t: rv64imafdc\n", "", False),
        ("armv7l", "", "", False),
    ],
)
def test_knows_an_emulator(write, monkeypatch, tmp_path, machine, cpuinfo, modalias, emulated):
    monkeypatch.delenv("METANAS_EMULATED", raising=False)
    write("proc/cpuinfo", cpuinfo)
    write("sys/devices/system/cpu/modalias", modalias)
    assert System(tmp_path, machine=machine).emulated() is emulated


@pytest.mark.parametrize(("value", "emulated"), [("1", True), ("0", False), ("", False)])
def test_is_told_of_an_emulator(monkeypatch, tmp_path, value, emulated):
    monkeypatch.setenv("METANAS_EMULATED", value)
    assert System(tmp_path).emulated() is emulated


def test_a_narrow_process_of_a_wide_kernel_runs_narrow_programs(monkeypatch, tmp_path):
    assert System(tmp_path, machine="armv6l").abi() == "armv6l"
    assert System(tmp_path, machine="aarch64").abi() == "aarch64"
    monkeypatch.setattr("sys.maxsize", 2**31 - 1)
    assert System(tmp_path, machine="aarch64").abi() == "armv7l"


def test_tells_what_the_clock_may_be(board, write, tmp_path):
    folder = "sys/devices/system/cpu/cpu1/cpufreq"
    write(f"{folder}/scaling_max_freq", "1200000")
    write(f"{folder}/cpuinfo_max_freq", "1500000")
    state = System(tmp_path).state(core=1)
    assert (state.clock_limit_mhz, state.clock_full_mhz) == (1200.0, 1500.0)


@pytest.mark.parametrize(
    ("driver", "base", "full_mhz"),
    [
        ({"intel_pstate/status": "active"}, "2100000", 2100.0),
        ({"amd_pstate/status": "active"}, None, None),
        ({"cpufreq/boost": "1"}, None, None),
        ({"cpufreq/boost": "0"}, None, 4700.0),
    ],
)
def test_a_turbo_is_no_clock_that_lasts(board, write, tmp_path, driver, base, full_mhz):
    for file, text in driver.items():
        write(f"sys/devices/system/cpu/{file}", text)
    write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "4700000")
    if base:
        write("sys/devices/system/cpu/cpu0/cpufreq/base_frequency", base)
    assert System(tmp_path).state(core=0).clock_full_mhz == full_mhz


def test_counts_how_often_a_processor_slowed_itself_down(write, no_vcgencmd, tmp_path):
    folder = "sys/devices/system/cpu/cpu{}/thermal_throttle/{}_throttle_count"
    write(folder.format(0, "package"), "5")
    write(folder.format(0, "core"), "2")
    write(folder.format(1, "package"), "5")
    write(folder.format(1, "core"), "1")
    system = System(tmp_path)
    assert [system.state(core=core).throttle_count for core in (0, 1, None)] == [7, 6, 5]
    write(folder.format(1, "core"), "3")
    assert system.state(core=1).throttle_count == 8


def test_the_firmwares_program_is_not_asked_for_every_row(write, monkeypatch, tmp_path):
    write("bin/vcgencmd", f"#!/bin/sh\necho x >> {tmp_path / 'asked'}; echo throttled=0x4")
    (tmp_path / "bin/vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    times_s = [0.0, 0.5, 0.9, 1.0, 1.5, 2.0]
    sensors = Sensors(tmp_path, clock_s=iter(times_s).__next__)
    assert {sensors.state(None).throttled for _ in times_s} == {4}
    assert (tmp_path / "asked").read_text().count("x") == 3


@pytest.mark.parametrize(
    ("sizes", "size_bytes"),
    [
        (("48K", "32K", "1024K", "32768K"), 32 * 1024**2),
        (("32K", "1M"), 1024**2),
        (("512",), 512),
        (("", "big"), None),
        ((), None),
    ],
)
def test_knows_the_last_cache(write, no_vcgencmd, tmp_path, sizes, size_bytes):
    for index, size in enumerate(sizes):
        write(f"sys/devices/system/cpu/cpu3/cache/index{index}/size", size)
    assert System(tmp_path).last_cache_bytes(core=3) == size_bytes
