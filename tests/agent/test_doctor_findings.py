"""Each finding in every state, on made-up files."""

import os

import pytest

from metanas_agent.finding import Finding
from support.machine_files import (
    CLOCK_SOURCE,
    CPUS,
    FIRMWARE,
    HUGE_PAGES,
    SWAPS,
    ZONE,
    each_core,
)

NO_FIRMWARE = {FIRMWARE: None}
WARNINGS = [
    ("governor", {f"{CPUS}/cpu1/cpufreq/scaling_governor": "ondemand"},
     "performance on core 0, ondemand on core 1",
     "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"),
    ("clock", {f"{CPUS}/cpu1/cpufreq/scaling_cur_freq": "600000"},
     "1498 of 1500 MHz on core 0, 600 of 1500 MHz on core 1", ""),
    ("clock", {**each_core("cpufreq/scaling_cur_freq", "600000"),
               **each_core("cpufreq/scaling_governor", "schedutil")},
     "600 of 1500 MHz on cores 0-1", "echo performance | sudo tee"),
    ("clock", {f"{CPUS}/cpu1/cpufreq/scaling_max_freq": "1000000"}, "limited to 1000 MHz",
     "echo 1500000 | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_max_freq"),
    ("turbo", {f"{CPUS}/intel_pstate/no_turbo": "0"}, "on",
     "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"),
    ("turbo", {f"{CPUS}/intel_pstate/no_turbo": None, f"{CPUS}/cpufreq/boost": "1"}, "on",
     "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost"),
    ("under-voltage", {FIRMWARE: "50001"}, "now and since boot", ""),
    ("under-voltage", {FIRMWARE: "10000"}, "since boot", ""),
    ("under-voltage", {**NO_FIRMWARE, "sys/class/hwmon/hwmon1/name": "rpi_volt",
                       "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1"}, "alarm", ""),
    ("throttling", {FIRMWARE: "20004"}, "clock capped since boot, throttled now", ""),
    ("throttling", {FIRMWARE: "80008"}, "soft temperature limit now and since boot", ""),
    ("throttling", {**NO_FIRMWARE, f"{CPUS}/cpu1/thermal_throttle/core_throttle_count": "7"},
     "up to 7 times since boot", ""),
    ("temperature", {f"{ZONE}/temp": "71000"}, "71 °C", ""),
    ("temperature", {f"{ZONE}/trip_point_1_type": "active", f"{ZONE}/temp": "101000"}, "101 °C",
     ""),
    ("swap", {"proc/swaps": SWAPS + "/dev/zram0 partition 102400 2048 100\n"},
     "2 of 100 MiB used on /dev/zram0", "sudo swapoff -a"),
    ("swap", {"proc/swaps": SWAPS + "/var/swap file 4096000 4000000 -2\n"}, "on /var/swap", ""),
    ("memory", {"proc/meminfo": "MemTotal: 448000 kB\nMemAvailable: 60000 kB\n"},
     "58 of 437 MiB available", ""),
    ("memory", {"proc/meminfo": "MemTotal: 448000 kB\nMemAvailable: 60000 kB\n",
                "run/systemd/system/x": ""}, "58 of", "sudo systemctl isolate multi-user.target"),
    ("huge pages", {HUGE_PAGES: "[always] madvise never"}, "always",
     "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled"),
    ("load average", {"proc/loadavg": "2.01 0.10 0.15 1/90 1234"}, "for cores 0-1", ""),
    ("clock source", {f"{CLOCK_SOURCE}/current_clocksource": "hpet"}, "hpet",
     "echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource"),
    ("clock source", {f"{CLOCK_SOURCE}/current_clocksource": "acpi_pm",
                      f"{CLOCK_SOURCE}/available_clocksource": "acpi_pm"}, "acpi_pm", ""),
    ("cores", {"proc/self/status": "Cpus_allowed_list:\t1\n", f"{CPUS}/isolated": ""},
     "1 of 0-1 usable, none isolated", f"sudo taskset -apc 0-1 {os.getpid()}"),
    ("cores", {"proc/self/status": "Cpus_allowed_list:\t0\n"}, "0 of 0-1 usable, 1 isolated",
     f"sudo taskset -apc 1 {os.getpid()}"),
    ("cores", {"proc/self/status": "Cpus_allowed_list:\t0\n", f"{CPUS}/online": "0",
               f"{CPUS}/isolated": ""}, "0 of 0 usable", ""),
    ("sibling threads", {f"{CPUS}/smt/active": "1",
                         **each_core("topology/thread_siblings_list", "0-1")},
     "on: 0-1 share a core", "echo off | sudo tee /sys/devices/system/cpu/smt/control"),
    ("sibling threads", {f"{CPUS}/smt/active": None,
                         **each_core("topology/thread_siblings_list", "0,1")},
     "on: 0-1 share a core", ""),
    ("virtual machine", {"proc/cpuinfo": "flags : fpu hypervisor\n"}, "yes", ""),
    ("virtual machine", {"sys/hypervisor/type": "xen"}, "yes xen", ""),
    ("virtual machine", {"proc/device-tree/model": "linux,dummy-virt\0"}, "yes", ""),
]  # fmt: skip


@pytest.mark.parametrize(("check", "files", "found", "command"), WARNINGS)
def test_what_spoils_measurements_is_a_warning(look, check, files, found, command):
    finding = look(files)[check]
    assert finding.verdict == "warning"
    assert found in finding.found
    assert finding.advice
    assert finding.command.startswith(command)
    assert bool(finding.command) == bool(command)


def test_what_most_machines_have_is_fine_and_says_what_could_be_better(look):
    finding = look({"proc/sys/kernel/randomize_va_space": "2"})["address randomisation"]
    assert (finding.verdict, finding.found) == ("ok", "on")
    assert "no interval of one process shows" in finding.advice
    assert finding.command == "setarch -R metanas-agent serve"


OK = [
    ("turbo", {f"{CPUS}/intel_pstate/no_turbo": None, f"{CPUS}/cpufreq/boost": "0"}, "off"),
    ("under-voltage", {**NO_FIRMWARE, "sys/class/hwmon/hwmon1/name": "rpi_volt",
                       "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "0"}, "none now"),
    ("under-voltage", {FIRMWARE: "e000e"}, "none since boot"),
    ("throttling", {FIRMWARE: "10001"}, "none since boot"),
    ("throttling", NO_FIRMWARE, "none since boot"),
    ("swap", {"proc/swaps": SWAPS + "/dev/zram0 partition 102400 0 100\n"},
     "0 of 100 MiB used on /dev/zram0"),
    ("huge pages", {HUGE_PAGES: "always madvise [never]"}, "never"),
    ("address randomisation", {"proc/sys/kernel/randomize_va_space": "2",
                               "proc/self/personality": "00040000"}, "off for this agent"),
    ("sibling threads", {f"{CPUS}/smt/active": None}, "none"),
    ("virtual machine", {"proc/cpuinfo": "CPU implementer : 0x41\n",
                         "proc/device-tree/model": "Raspberry Pi 4\0"}, "no: Raspberry Pi 4"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "files", "found"), OK)
def test_other_ways_to_be_fine(look, check, files, found):
    machine = "aarch64" if "0x41" in str(files) else "x86_64"
    finding = look(files, machine=machine)[check]
    assert finding == Finding.ok(check, finding.found)
    assert found in finding.found


UNKNOWN = [
    ("governor", {f"{CPUS}/cpu1/cpufreq/scaling_governor": ""}, "not told on core 1"),
    ("throttling", {**NO_FIRMWARE, **each_core("thermal_throttle/core_throttle_count", None),
                    **each_core("thermal_throttle/package_throttle_count", "none")}, "not told"),
    ("temperature", {f"{ZONE}/trip_point_1_type": "active"}, "where it slows down is not told"),
    ("temperature", {f"{ZONE}/trip_point_1_temp": "0"}, "where it slows down is not told"),
    ("temperature", {f"{ZONE}/temp": "nan"}, "not told"),
    ("temperature", {f"{ZONE}/type": "battery"}, "not told"),
    ("swap", {"proc/swaps": "what?"}, "not told"),
    ("swap", {"proc/swaps": SWAPS + "/dev/zram0 partition many few 100\n"}, "not told"),
    ("memory", {"proc/meminfo": "MemTotal: 448000 kB\n"}, "not told"),
    ("memory", {"proc/meminfo": f"MemTotal: {'9' * 5000} kB\nMemAvailable: 1 kB\n"}, "not told"),
    ("load average", {"proc/loadavg": "nan nan nan"}, "not told"),
    ("clock source", {f"{CLOCK_SOURCE}/current_clocksource": "timer"}, "timer"),
    ("cores", {f"{CPUS}/online": "all"}, "not told"),
    ("sibling threads", {f"{CPUS}/smt/active": None,
                         **each_core("topology/thread_siblings_list", None)}, "not told"),
    ("virtual machine", {"proc/cpuinfo": "CPU implementer : 0x41\n"}, "not told"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "files", "found"), UNKNOWN)
def test_what_is_not_told_is_not_guessed(look, check, files, found):
    machine = "aarch64" if "0x41" in str(files) else "x86_64"
    finding = look(files, machine=machine)[check]
    assert finding == Finding.unknown(check, finding.found)
    assert found in finding.found


def test_an_emulator_is_a_warning(look):
    finding = look(machine="armv6l")["virtual machine"]
    assert finding.verdict == "warning"
    assert "another kind of processor" in finding.found
