"""The systemd user unit that keeps an agent running."""

from __future__ import annotations

from collections.abc import Sequence

UNIT = "metanas-agent.service"

_TEMPLATE = """\
# Written by metanas-profile pair; removed by metanas-profile unpair.
[Unit]
Description=metanas agent: times layers for the hosts that it is paired with
StartLimitIntervalSec=0

[Service]
ExecStart={command}
Restart=always
RestartSec=2
# A worker that runs out of memory is a result; the agent must live to tell it.
OOMPolicy=continue
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=default.target
"""


def unit_text(command: Sequence[str]) -> str:
    """The unit that runs `command`.

    Its first word is an absolute path; systemd takes none with quotes or backslashes in it.
    """
    return _TEMPLATE.format(command=" ".join(map(_quoted, command)))


def _quoted(word: str) -> str:
    """A word as systemd reads it (systemd.service, 'Command lines'): any character is itself."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped.replace("%", "%%").replace("$", "$$")}"'
