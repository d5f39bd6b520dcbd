"""Advertising: a paired agent says by mDNS (RFC 6762, RFC 6763) where it listens and what it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from metanas_agent.announcement import SERVICE, Announcement

if TYPE_CHECKING:  # 3 MB of memory, which only a paired agent shall spend
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

_EVERYWHERE = (None, "", "0.0.0.0", "::")
_LOOK_AGAIN_S = 10.0


class Advertisement:
    """Announces an agent while the block runs, on every network that the machine is in.

    Networks come and go: a board may get its address minutes after the agent has started, and
    another one tomorrow. Trouble with mDNS is never the agent's: it tries again later.

    Args:
        announce: finds out what to say; begun with the block, which does not wait for it.
        port: where the agent listens.
        host: the one address it listens on, None for all of them.
        look_again_s: time between two looks at the machine's addresses.
    """

    def __init__(
        self,
        announce: Callable[[], Awaitable[Announcement]],
        port: int,
        *,
        host: str | None = None,
        look_again_s: float = _LOOK_AGAIN_S,
    ) -> None:
        self._announce = announce
        self._port = port
        self._host = host
        self._look_again_s = look_again_s

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _keep(self) -> None:
        announcement = await self._announce()
        while True:
            if addresses := self._addresses():
                await self._tell(announcement, addresses)
            await asyncio.sleep(self._look_again_s)

    async def _tell(self, announcement: Announcement, addresses: list[str]) -> None:
        """Announce the agent at these addresses, for as long as they are the machine's."""
        from zeroconf import Error, IPVersion  # noqa: PLC0415
        from zeroconf.asyncio import AsyncZeroconf  # noqa: PLC0415

        # The network went away again, or forbids multicast.
        with suppress(OSError, RuntimeError, Error):
            async with AsyncZeroconf(
                interfaces=addresses, ip_version=IPVersion.V4Only
            ) as responder:
                # The id in its name makes it the only one: nobody is asked whether it is free.
                await responder.async_register_service(
                    _service(announcement, addresses, self._port), cooperating_responders=True
                )
                while self._addresses() == addresses:
                    _forget_others(responder)
                    await asyncio.sleep(self._look_again_s)

    def _addresses(self) -> list[str]:
        """IPv4 addresses that others could reach."""
        import ifaddr  # noqa: PLC0415

        found = {ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4}
        return sorted(
            address
            for address in found
            if isinstance(address, str)
            and not address.startswith("127.")
            and self._host in (*_EVERYWHERE, address)
        )


def _service(announcement: Announcement, addresses: list[str], port: int) -> AsyncServiceInfo:
    from zeroconf.asyncio import AsyncServiceInfo  # noqa: PLC0415

    own = f"metanas-{announcement.device_id}"
    return AsyncServiceInfo(
        SERVICE,
        f"{own}.{SERVICE}",
        server=f"{own}.local.",
        port=port,
        parsed_addresses=addresses,
        properties=announcement.to_txt(),
    )


def _forget_others(responder: AsyncZeroconf) -> None:
    """Drop what others announced: zeroconf keeps 10 MB of it, and an agent has no use for it."""
    cache = responder.zeroconf.cache
    cache.async_remove_records(
        [record for name in cache.names() for record in cache.entries_with_name(name)]
    )
