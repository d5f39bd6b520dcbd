"""Message: a frozen dataclass that travels as one frame.

Its fields' annotations say how they are checked (`wire.HOOKS`). A field that is missing, unknown
or of another type is refused. Only in extensible messages, which must be understood before a
version is agreed, are unknown ones passed over.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, dataclass, fields
from typing import Any, ClassVar, Self

from metanas_agent.errors import ProtocolError
from metanas_agent.wire import HOOKS, Hook

MAJOR = 2
"""Newest major version of the protocol that is spoken here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One frame.

    `type` names the kind, `since` is the first major version that knows it, and an `extensible`
    one may hold fields that we do not know.
    """

    type: ClassVar[str]
    since: ClassVar[int] = 1
    extensible: ClassVar[bool] = False

    def to_wire(self, major: int = MAJOR) -> dict[str, Any]:
        """Plain values for a frame to a peer that speaks this major version.

        Raises:
            ProtocolError: the peer is too old for this message.
        """
        if major < self.since:
            raise ProtocolError(
                f"a {self.type} message needs protocol {self.since}, and the peer speaks {major}",
                hint="upgrade the peer",
            )
        values: dict[str, Any] = {"type": self.type}
        for part in self._parts(major):
            hook = _hook(part)
            write = hook.write_1 if major == 1 and hook.write_1 else hook.write
            values[part.name] = write(getattr(self, part.name))
        return values

    @classmethod
    def from_wire(cls, values: dict[str, object], major: int = MAJOR) -> Self:
        """Read what `to_wire` wrote, without `type`.

        Raises:
            ProtocolError: a field is missing, unknown or of another type.
            MetanasError: a layer, measurement or setting in it is invalid.
        """
        if major < cls.since:
            raise ProtocolError(f"a {cls.type} message in protocol {major}, which has none")
        parts = {part.name: part for part in cls._parts(major)}
        unknown = values.keys() - parts.keys()
        if unknown and not cls.extensible:
            raise ProtocolError(f"{cls.type} message: unknown field {sorted(unknown)[0]!r:.80}")
        read = {}
        for name, part in parts.items():
            if name in values:
                try:
                    read[name] = _hook(part).read(values[name])
                except ValueError as error:
                    raise ProtocolError(f"{cls.type} message: {name} is {error}") from error
            elif part.default is part.default_factory is MISSING:
                raise ProtocolError(f"{cls.type} message: {name} is missing")
        return cls(**read)

    @classmethod
    def _parts(cls, major: int) -> list[Field[Any]]:
        since = MAJOR if cls.extensible else major
        return [part for part in fields(cls) if part.metadata.get("since", 1) <= since]


def _hook(part: Field[Any]) -> Hook:
    assert isinstance(part.type, str)
    return HOOKS[part.type]
