"""`python -m metanas_agent` is `metanas-agent`."""

from metanas_agent.entry import main

main()
