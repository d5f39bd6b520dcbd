"""A device becomes a latency table."""
