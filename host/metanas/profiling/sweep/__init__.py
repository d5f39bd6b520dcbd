"""A sweep: every layer of a space, timed on a device in an order that suits the time there is."""

from metanas.profiling.sweep.order import expected_shares
from metanas.profiling.sweep.run import SweepProgress
from metanas.profiling.sweep.sweep import OVER_BUDGET, profile

__all__ = ["OVER_BUDGET", "SweepProgress", "expected_shares", "profile"]
