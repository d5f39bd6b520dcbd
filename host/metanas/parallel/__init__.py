"""The same function on several processes, each with its own tasks."""

from metanas.parallel.group import Group
from metanas.parallel.workers import Workers

__all__ = ["Group", "Workers"]
