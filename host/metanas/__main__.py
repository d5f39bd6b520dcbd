"""`python -m metanas` is `metanas`."""

from metanas.cli.app import main

main()
