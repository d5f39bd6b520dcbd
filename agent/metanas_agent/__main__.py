"""`python -m metanas_agent` is `metanas-agent`."""

from metanas_agent.cli import main

main()
