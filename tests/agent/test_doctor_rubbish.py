"""Files that hold anything never make an examination fail."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metanas_agent.doctor import examine
from metanas_agent.messages import Findings
from metanas_agent.protocol import decode, encode
from metanas_agent.system import System
from support.machine_files import CGROUP, QUIET, STAT, SWAPS, process, ticks

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
