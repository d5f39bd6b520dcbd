"""Tables in the terminal and one self-contained HTML page."""
