"""Commands of `metanas-agent` for work on the board itself; nothing heavy at import."""
