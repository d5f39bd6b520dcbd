"""PairedEndpoint: a paired board, wherever in the network it is today."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from itertools import islice

from metanas.address import Address
from metanas.devices.discovery import Discovered, discover
from metanas.devices.endpoint import TlsEndpoint
from metanas.errors import DiscoveryError, UntrustedError
from metanas.pairing.records import PairedDevice, find_paired, save
from metanas.pairing.trust import client_context

_ADDRESS_LIMIT_S = 5.0  # a board that got another address may leave nobody at the old one
_MOST_ADDRESSES = 16  # a stranger that announces the board's id shall not keep us for hours


class PairedEndpoint:
    """Tries the board's last known address, then those that mDNS gives for its id.

    Whoever answers must prove with the pinned certificate that it is the board; so a stranger
    that announces the board's id gets nothing but a handshake. An address that proved to be the
    board's is written into its record.

    Args:
        device: the board's record.
        search: gives addresses where the board may be; asks mDNS if not given.
    """

    def __init__(
        self, device: PairedDevice, *, search: Callable[[], Iterable[Address]] | None = None
    ) -> None:
        self._device = device
        self._search = search or self._ask_network
        self._context = client_context(device)

    def __str__(self) -> str:
        return self._device.address

    @property
    def start_hint(self) -> str:
        """See `Endpoint`."""
        return (
            "is it switched on and in this network? Where multicast does not reach, pair again "
            f"by its address: {self.upgrade_command}"
        )

    @property
    def upgrade_command(self) -> str:
        """See `Endpoint`."""
        return f"metanas-profile pair {self._device.ssh}"

    def connect(self, timeout_s: float) -> socket.socket:
        """See `Endpoint`."""
        try:
            return self._at(self._device.address).connect(min(timeout_s, _ADDRESS_LIMIT_S))
        except (OSError, UntrustedError):
            found = self._connect_elsewhere(timeout_s)
            if found is None:
                raise
            return found

    def _connect_elsewhere(self, timeout_s: float) -> socket.socket | None:
        for address in islice(self._search(), _MOST_ADDRESSES):
            if str(address) == self._device.address:
                continue
            with suppress(OSError, UntrustedError):
                connection = self._at(str(address)).connect(min(timeout_s, _ADDRESS_LIMIT_S))
                self._moved_to(address)
                return connection
        return None

    def _at(self, text: str) -> TlsEndpoint:
        address = Address.parse(text)
        if address is None:
            raise UntrustedError(
                f"the record of {self._device.name} has no address, but {text!r}",
                hint=self.upgrade_command,
            )
        return TlsEndpoint(address.host, address.port, self._context, self._device.fingerprint)

    def _ask_network(self) -> Iterable[Address]:
        try:
            found = discover()
        except DiscoveryError:
            return []
        return addresses_of(self._device, found)

    def _moved_to(self, address: Address) -> None:
        self._device = replace(self._device, address=str(address))
        known = find_paired(self._device.id)
        if known is not None:  # it may have been unpaired in the meantime
            with suppress(OSError):  # a full disk costs a search the next time, nothing more
                save(replace(known, address=str(address)))


def claims_to_be(agent: Discovered, device: PairedDevice) -> bool:
    """Whether somebody announces the board's id and certificate; the board does, if it is there."""
    said = agent.announcement
    return (said.device_id, said.fingerprint) == (device.id, device.fingerprint)


def addresses_of(device: PairedDevice, found: Iterable[Discovered]) -> list[Address]:
    """Where the board may be, among what was discovered."""
    return [
        address for agent in found if claims_to_be(agent, device) for address in agent.addresses
    ]
