"""Others who want the processor: processes of this machine, and other virtual machines."""

from __future__ import annotations

import re

from metanas_agent.doctor.activity import Activity, Share, Snapshot, stolen_since_boot
from metanas_agent.doctor.core_list import cores_in_words, parse_cores
from metanas_agent.finding import Finding
from metanas_agent.system import System

_MOST_SHARE = 0.1
"""Of one core, for all others together; a quiet system needs a few hundredths."""

_MOST_STOLEN = 0.01
_NAMED = 3
_SERVICE = re.compile(r"/system\.slice/([A-Za-z0-9_.@-]+\.service)$", re.ASCII | re.MULTILINE)
_NEEDED = re.compile(r"metanas|ssh|dbus|systemd|network|wpa_supplicant", re.IGNORECASE)
"""Services without which nobody could get at the device any more."""


def other_load(system: System, activity: Activity | None) -> Finding:
    """What other processes used while they were watched."""
    if activity is None:
        return Finding.unknown("other load", "not told")
    busiest = activity.shares[:_NAMED]
    found = f"{activity.others:.2f} cores used by others"
    if busiest:
        found += ": " + ", ".join(
            f"{share.name} ({share.process_id}) {share.share:.0%}" for share in busiest
        )
    if activity.others < _MOST_SHARE:
        return Finding.ok("other load", found)
    return Finding.warning(
        "other load",
        found,
        advice="they take the core, the caches and the memory from what is timed; paused processes "
        "go on with kill -CONT, stopped services with systemctl start",
        command=_quieting(system, busiest),
    )


def load_average(system: System) -> Finding:
    """What wanted to run over the last minutes, against the cores that there are."""
    words = (system.text("proc/loadavg") or "").split()
    online = parse_cores(system.text("sys/devices/system/cpu/online"))
    loads = [_load(word) for word in words[:3]]
    if len(loads) < 3 or None in loads or not online:
        return Finding.unknown("load average", "not told")
    found = f"{' '.join(words[:3])} over 1, 5 and 15 minutes, for {cores_in_words(online)}"
    if loads[0] is not None and loads[0] <= len(online):
        return Finding.ok("load average", found)
    return Finding.warning(
        "load average",
        found,
        advice="more wanted to run than there are cores, perhaps a measurement that just ended; "
        "wait a minute and look again",
    )


def stolen_time(activity: Activity | None, accounts: Snapshot) -> Finding:
    """What the hypervisor gave to other machines while we wanted to run."""
    if activity is None:
        return Finding.unknown("stolen time", "not told")
    since_boot = stolen_since_boot(accounts)
    found = f"{activity.stolen:.1%} now, {since_boot:.1%} since boot"
    if max(activity.stolen, since_boot) < _MOST_STOLEN:
        return Finding.ok("stolen time", found)
    return Finding.warning(
        "stolen time",
        found,
        advice="other virtual machines run on the same cores: ask for cores of your own, or "
        "measure when they are quiet",
    )


def _quieting(system: System, busiest: tuple[Share, ...]) -> str:
    """Stops services and pauses other processes, but none that the device needs."""
    services, paused = [], []
    for share in busiest:
        if share.is_kernel or share.process_id == 1 or share.share < _MOST_SHARE / _NAMED:
            continue
        service = _SERVICE.search(system.text(f"proc/{share.process_id}/cgroup") or "")
        if _NEEDED.search(service[1] if service else share.name):
            continue
        if service:
            services.append(service[1])
        else:
            paused.append(str(share.process_id))
    commands = (("sudo systemctl stop", services), ("sudo kill -STOP", paused))
    return "; ".join(f"{verb} {' '.join(dict.fromkeys(of))}" for verb, of in commands if of)


def _load(word: str) -> float | None:
    return float(word) if re.fullmatch(r"\d{1,9}\.\d{1,9}", word, re.ASCII) else None
