"""Each finding in every state, on made-up `/sys` and `/proc`; then rubbish; then this machine."""

import json
import os
import subprocess
import sys

import msgpack
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metanas_agent.doctor import examine
from metanas_agent.errors import ProtocolError
from metanas_agent.finding import FINDING_VERDICTS, Finding
from metanas_agent.messages import Error, Examine, Findings
from metanas_agent.protocol import decode, encode
from metanas_agent.system import System
from support.agent_process import AgentProcess, raw_connection
from support.mutator import framed

CPUS = "sys/devices/system/cpu"
ZONE = "sys/class/thermal/thermal_zone0"
CLOCK_SOURCE = "sys/devices/system/clocksource/clocksource0"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
HUGE_PAGES = "sys/kernel/mm/transparent_hugepage/enabled"
SWAPS = "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
OTHER = 4_194_303  # a process id that the kernel gives to nobody
KERNEL_THREAD = 0x0020_0000

QUIET = {
    f"{CPUS}/online": "0-1",
    f"{CPUS}/isolated": "1",
    f"{CPUS}/nohz_full": "1",
    f"{CPUS}/smt/active": "0",
    f"{CPUS}/intel_pstate/no_turbo": "1",
    **{
        f"{CPUS}/cpu{core}/{file}": text
        for core in (0, 1)
        for file, text in {
            "cpufreq/scaling_governor": "performance\n",
            "cpufreq/scaling_cur_freq": "1498000\n",
            "cpufreq/scaling_max_freq": "1500000\n",
            "cpufreq/cpuinfo_max_freq": "1500000\n",
            "thermal_throttle/core_throttle_count": "0\n",
            "thermal_throttle/package_throttle_count": "0\n",
            "topology/thread_siblings_list": f"{core}\n",
        }.items()
    },
    FIRMWARE: "0\n",
    f"{ZONE}/type": "cpu-thermal\n",
    f"{ZONE}/temp": "48312\n",
    f"{ZONE}/trip_point_0_type": "active\n",
    f"{ZONE}/trip_point_0_temp": "45000\n",
    f"{ZONE}/trip_point_1_type": "passive\n",
    f"{ZONE}/trip_point_1_temp": "80000\n",
    f"{ZONE}/trip_point_2_type": "critical\n",
    f"{ZONE}/trip_point_2_temp": "110000\n",
    f"{CLOCK_SOURCE}/current_clocksource": "tsc\n",
    f"{CLOCK_SOURCE}/available_clocksource": "tsc hpet acpi_pm\n",
    HUGE_PAGES: "always [madvise] never\n",
    "proc/cpuinfo": "processor : 0\nflags : fpu vme sse\n",
    "proc/meminfo": "MemTotal: 3884000 kB\nMemAvailable: 3000000 kB\n",
    "proc/swaps": SWAPS,
    "proc/loadavg": "0.05 0.10 0.15 1/90 1234\n",
    "proc/self/status": "Name:\tpython\nCpus_allowed_list:\t0-1\n",
    "proc/self/personality": "00000000\n",
    "proc/sys/kernel/randomize_va_space": "0\n",
    "proc/stat": "",  # see `ticks`
}


def ticks(*, busy=0, steal=0, idle=1000, since_boot=0):
    """The kernel's accounts of two cores."""
    total = f"cpu  {busy + since_boot} 0 0 {idle} 0 0 0 {steal} 0 0\n"
    return f"{total}cpu0 0 0 0 0\ncpu1 0 0 0 0\nbtime 1\n"


def process(used, *, name="chrome", flags=0):
    return f"{OTHER} ({name}) R 1 1 1 0 -1 {flags} 0 0 0 0 {used} 0 0 0 20 0 1 0 5 0 0"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("METANAS_EMULATED", raising=False)

    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    write({**QUIET, "proc/stat": ticks()})
    return write


@pytest.fixture
def look(tree, tmp_path):
    """The findings by check, after some files are changed; `later` changes while it watches."""

    def examined(files=(), later=(), machine="x86_64"):
        tree(dict(files))
        watched = {"proc/stat": ticks(busy=2, idle=1198), **dict(later)}
        system = System(tmp_path, machine=machine)
        findings = examine(system, wait=lambda _: tree(watched))
        return {finding.check: finding for finding in findings}

    return examined


def each_core(file, text):
    return {f"{CPUS}/cpu{core}/{file}": text for core in (0, 1)}


def test_a_quiet_machine_has_nothing_to_mend(look):
    findings = look()
    assert {finding.verdict for finding in findings.values()} == {"ok"}
    assert not any(finding.advice or finding.command for finding in findings.values())
    assert findings["governor"].found == "performance on cores 0-1"
    assert findings["clock"].found == "1498 of 1500 MHz on cores 0-1"
    assert findings["temperature"].found == "48 °C, slows down at 80 °C, switches off at 110 °C"
    assert findings["cores"].found == "0-1 of 0-1 usable, 1 isolated, 1 without ticks"
    assert findings["other load"].found == "0.02 cores used by others"
    assert findings["swap"].found == "none"


def test_a_machine_that_tells_nothing_is_unknown_and_not_fine(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("METANAS_EMULATED", raising=False)
    findings = examine(System(tmp_path, machine="armv6l"), wait=lambda _: None)
    assert {finding.verdict for finding in findings} == {"unknown"}
    assert all("not told" in finding.found for finding in findings)


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
    ("address randomisation", {"proc/sys/kernel/randomize_va_space": "2"}, "on",
     "setarch -R metanas-agent serve"),
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


STAT = f"proc/{OTHER}/stat"
CGROUP = f"proc/{OTHER}/cgroup"


@pytest.mark.parametrize(
    ("files", "name", "command"),
    [
        ({}, "chrome", f"sudo kill -STOP {OTHER}"),
        ({}, "a) R (b", f"sudo kill -STOP {OTHER}"),
        ({CGROUP: "0::/user.slice/user-1000.slice/session-3.scope"}, "make",
         f"sudo kill -STOP {OTHER}"),
        ({CGROUP: "0::/system.slice/cups.service\n"}, "cupsd", "sudo systemctl stop cups.service"),
        ({CGROUP: "0::/system.slice/ssh.service\n"}, "sshd", ""),
        ({}, "sshd", ""),
        ({}, "metanas-agent", ""),
    ],
)  # fmt: skip
def test_who_else_works_is_named_and_can_be_quieted(look, files, name, command):
    finding = look(
        {STAT: process(100, name=name), **files},
        {STAT: process(150, name=name), "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]
    assert finding.verdict == "warning"
    assert finding.found == f"0.50 cores used by others: {name} ({OTHER}) 50%"
    assert finding.command == command


def test_kernel_threads_are_named_and_left_alone(look):
    finding = look(
        {STAT: process(0, name="kswapd0", flags=KERNEL_THREAD)},
        {STAT: process(50, name="kswapd0", flags=KERNEL_THREAD),
         "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]  # fmt: skip
    assert "kswapd0" in finding.found
    assert finding.verdict == "warning"
    assert finding.command == ""


def test_our_own_work_is_not_somebody_elses(look):
    ours = f"proc/{os.getpid()}/stat"
    finding = look(
        {ours: process(100)}, {ours: process(180), "proc/stat": ticks(busy=80, idle=1120)}
    )["other load"]
    assert finding == Finding.ok("other load", "0.00 cores used by others")


def test_a_process_that_has_an_ended_ones_id_has_not_worked_less_than_nothing(look):
    ours = f"proc/{os.getpid()}/stat"
    finding = look({ours: process(900)}, {ours: process(10)})["other load"]
    assert finding == Finding.ok("other load", "0.02 cores used by others")


def test_names_cannot_play_with_a_terminal(look):
    name = "\x1b]0;x\x07\nsh"
    finding = look(
        {STAT: process(0, name=name)},
        {STAT: process(50, name=name), "proc/stat": ticks(busy=50, idle=1150)},
    )["other load"]
    assert finding.found.isprintable()


@pytest.mark.parametrize(
    ("since_boot", "later", "found"),
    [
        (0, ticks(steal=20, idle=1180), "10.0% now, 1.7% since boot"),
        (0, ticks(steal=1, idle=1199), ""),
        (30, ticks(steal=30, idle=1200), "0.0% now, 2.4% since boot"),
    ],
)
def test_time_that_a_hypervisor_takes_away(look, since_boot, later, found):
    findings = look({"proc/stat": ticks(steal=since_boot)}, {"proc/stat": later})
    assert findings["stolen time"].verdict == ("warning" if found else "ok")
    assert found in findings["stolen time"].found
    assert findings["other load"].verdict == "ok"  # what is stolen is no work of this machine


@pytest.mark.parametrize("stat", [None, "", "cpu  1 2 3\n", ticks(), ticks(idle=5), "cpu x\n"])
def test_accounts_that_do_not_go_on_tell_nothing(look, stat):
    findings = look(later={"proc/stat": stat})
    assert findings["other load"].verdict == "unknown"
    assert findings["stolen time"].verdict == "unknown"


RUBBISH = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [b"-1", b"0", b"1", b"nan", b"inf", b"1e308", b"9" * 5000, b"\xd9\xa3", b"0-99999", b"7-2",
         b",".join(b"%d" % core for core in range(0, 9000, 2)), b"cpu " + b"9" * 30, b"\0", b"2",
         SWAPS.encode() + b"a b 9 9 9\n" * 500, b"Cpus_allowed_list:\t0-99999\n", b"ffffffff",
         b"MemTotal: " + b"9" * 5000 + b" kB\nMemAvailable: 1 kB"]
    ),
)  # fmt: skip
PLACES = sorted({*QUIET, STAT, CGROUP, "proc/device-tree/model", "sys/hypervisor/type"})


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    files=st.dictionaries(st.sampled_from(PLACES), RUBBISH, max_size=12),
    later=st.dictionaries(st.sampled_from(PLACES), RUBBISH, max_size=4),
)
def test_rubbish_is_never_more_than_unknown_or_a_warning(tree, tmp_path, files, later):
    def write(rubbish):
        for path, data in rubbish.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(data)

    tree({**QUIET, "proc/stat": ticks(), STAT: process(1)})
    write(files)
    findings = examine(System(tmp_path, machine="x86_64"), wait=lambda _: write(later))
    message = Findings(findings=findings)
    assert decode(encode(message)[8:]) == message
    assert all(finding.found.isprintable() for finding in findings)


def test_files_that_are_folders_tell_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("METANAS_EMULATED", raising=False)
    for path in QUIET:
        (tmp_path / path).mkdir(parents=True)
    findings = examine(System(tmp_path, machine="x86_64"), wait=lambda _: None)
    assert {finding.verdict for finding in findings} == {"unknown"}


def test_long_texts_are_cut_but_never_a_command():
    finding = Finding.warning("x", "f" * 9000, advice="a" * 9000, command="c" * 9000)
    assert finding == decode(encode(Findings(findings=(finding,)))[8:]).findings[0]
    assert finding.command == ""
    assert Finding.warning("x", "f", advice="a", command="c" * 2000).command == "c" * 2000


@pytest.mark.parametrize(
    "value",
    [
        {"check": "x", "found": "x", "verdict": "fine", "advice": "", "command": ""},
        {"check": "x", "found": "x", "verdict": "ok", "advice": ""},
        {"check": "x", "found": 3, "verdict": "ok", "advice": "", "command": ""},
        {"check": "x", "found": "x", "verdict": "ok", "advice": "", "command": "", "more": ""},
        "ok",
    ],
)
def test_a_finding_that_is_none_is_refused(value):
    with pytest.raises(ProtocolError, match="findings message: findings is"):
        decode(msgpack.packb({"type": "findings", "findings": [value]}))


def test_an_older_protocol_has_no_examination():
    with pytest.raises(ProtocolError, match="needs protocol 2"):
        Examine().to_wire(1)


def test_an_agent_examines_its_machine_and_says_so_when_it_does_not_know_a_request():
    with AgentProcess("--runtime", "onnx") as agent, raw_connection(agent.port) as peer:
        peer.greet()
        findings = peer.ask(Examine()).findings
        assert {finding.verdict for finding in findings} <= set(FINDING_VERDICTS)
        (cores,) = [finding for finding in findings if finding.check == "cores"]
        assert cores.verdict != "unknown"
        peer.socket.sendall(framed(msgpack.packb({"type": "divine"}), 2))
        answer = peer.receive()
        assert isinstance(answer, Error)
        assert "'divine'" in answer.what
        assert "upgrade" in answer.hint


def test_the_command_on_the_board_itself():
    command = [sys.executable, "-m", "metanas_agent", "doctor"]
    run = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    lines = run.stdout.splitlines()
    assert run.stderr == ""
    assert run.returncode == int(any(line.startswith("warning") for line in lines))
    assert any(line.split()[1:] and line.split()[1] == "swap" for line in lines)
    asked = subprocess.run([*command, "--json"], capture_output=True, check=False, timeout=60)
    findings = [Finding(**values) for values in json.loads(asked.stdout)]
    assert asked.returncode == int(any(finding.verdict == "warning" for finding in findings))
    assert len(findings) > 10
