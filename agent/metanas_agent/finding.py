"""Finding: what was seen of one thing that could spoil measurements, and what mends it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

from metanas_agent.printing import printable

FINDING_VERDICTS = ("ok", "warning", "unknown")
"""`unknown`: the system does not tell, which is not the same as fine."""

_LONGEST_LINE = 400
_LONGEST_COMMAND = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer of one check.

    Args:
        check: what was looked at, such as `governor`.
        found: what was seen there.
        verdict: one of `FINDING_VERDICTS`.
        advice: why it matters and what to do, where something could be better.
        command: what mends it when run on the device; empty where no command can.
    """

    check: str
    found: str
    verdict: str
    advice: str = ""
    command: str = ""

    @classmethod
    def ok(cls, check: str, found: str) -> Self:
        """Nothing to mend."""
        return cls(check=check, found=_line(found), verdict="ok")

    @classmethod
    def note(cls, check: str, found: str, *, advice: str, command: str = "") -> Self:
        """Fine as it is: what most machines have, and who looks for the last per cent may change.

        Its verdict is `ok`, which every host knows.
        """
        return cls._with_advice("ok", check, found, advice, command)

    @classmethod
    def warning(cls, check: str, found: str, *, advice: str, command: str = "") -> Self:
        """Measurements may suffer from this."""
        return cls._with_advice("warning", check, found, advice, command)

    @classmethod
    def unknown(cls, check: str, found: str) -> Self:
        """The system does not say enough to judge by."""
        return cls(check=check, found=_line(found), verdict="unknown")

    @classmethod
    def _with_advice(cls, verdict: str, check: str, found: str, advice: str, command: str) -> Self:
        return cls(
            check=check,
            found=_line(found),
            verdict=verdict,
            advice=_line(advice),
            command=command if len(command) <= _LONGEST_COMMAND else "",  # a part is another one
        )

    def to_dict(self) -> dict[str, str]:
        """Plain values, for a frame or for JSON."""
        return asdict(self)


def _line(text: str) -> str:
    """One line of bounded length: names of processes, say, may hold anything."""
    return printable(" ".join(text.split())[:_LONGEST_LINE])
