"""Pair with a board: who it is, who we are, and an agent of ours running on it."""

from metanas.pairing.records import PairedDevice, find_paired, paired_devices, remove, save
from metanas.pairing.trust import client_context, host_certificate

__all__ = [
    "PairedDevice",
    "client_context",
    "find_paired",
    "host_certificate",
    "paired_devices",
    "remove",
    "save",
]
