"""Discovery: which agents announce themselves on the networks that this machine is in.

Announcements come from anyone. What is found here is where a board may be, never proof of it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from zeroconf import Error, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from metanas.address import Address
from metanas.errors import DiscoveryError
from metanas_agent.announcement import SERVICE, Announcement

LIMIT_S = 2.0
"""Agents answer within a second; a lost packet is asked for again in the next."""

# Announcements cost nothing, and a stranger could make any number of them.
_MOST_AGENTS = 256
_MOST_ADDRESSES = 8


@dataclass(frozen=True, slots=True)
class Discovered:
    """An agent that announces itself, or somebody who says the same.

    Args:
        announcement: what it says of itself.
        addresses: where it says that it listens, at least one.
    """

    announcement: Announcement
    addresses: tuple[Address, ...]


def discover(timeout_s: float = LIMIT_S) -> tuple[Discovered, ...]:
    """Listen for announcements.

    Args:
        timeout_s: how long.

    Returns:
        Every agent that was heard, by name. Several may bear one name, and even one id.

    Raises:
        DiscoveryError: this machine cannot use multicast.
    """
    return asyncio.run(_browse(timeout_s))


async def _browse(timeout_s: float) -> tuple[Discovered, ...]:
    try:
        zeroconf = AsyncZeroconf(ip_version=IPVersion.V4Only)
    except (OSError, RuntimeError) as error:  # the latter where there is no interface at all
        raise DiscoveryError(
            f"cannot look for agents by multicast: {error}",
            hint="name the board's address instead of searching for it",
        ) from error
    found: dict[str, Discovered | None] = {}
    asking: set[asyncio.Task[None]] = set()

    async def ask(service: str) -> None:
        with suppress(Error, OSError):  # a name or an answer that makes no sense
            found[service] = await _resolve(zeroconf.zeroconf, service, timeout_s)

    def heard(*, name: str, state_change: ServiceStateChange, **_: object) -> None:
        if state_change is ServiceStateChange.Removed:
            found.pop(name, None)
        elif name in found or len(found) < _MOST_AGENTS:
            found.setdefault(name, None)
            task = asyncio.create_task(ask(name))
            asking.add(task)
            task.add_done_callback(asking.discard)

    async with zeroconf:
        async with AsyncServiceBrowser(zeroconf.zeroconf, SERVICE, handlers=[heard]):
            await asyncio.sleep(timeout_s)
        for task in (left := list(asking)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    agents = [agent for agent in found.values() if agent]
    return tuple(sorted(agents, key=lambda agent: (agent.announcement.name, str(agent.addresses))))


async def _resolve(zeroconf: Zeroconf, service: str, timeout_s: float) -> Discovered | None:
    """Ask for a service's address and TXT record; None where they make no sense."""
    info = AsyncServiceInfo(SERVICE, service)
    if not await info.async_request(zeroconf, timeout=1e3 * timeout_s):
        return None
    announcement = Announcement.from_txt(info.properties)
    hosts = info.parsed_addresses(IPVersion.V4Only)[:_MOST_ADDRESSES]
    if announcement is None or not hosts or not info.port:
        return None
    return Discovered(announcement, tuple(Address(host, info.port) for host in hosts))
