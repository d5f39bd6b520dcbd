"""`python -m metanas` is `metanas`."""

from metanas.cli import main

main()
