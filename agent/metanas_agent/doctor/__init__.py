"""What on this machine could spoil measurements: read, never guessed, with what mends it."""

from metanas_agent.doctor.examination import examine

__all__ = ["examine"]
