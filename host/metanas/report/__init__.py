"""Tables in the terminal and one self-contained HTML page."""

from metanas.report.html import write_report
from metanas.report.run_files import RunFiles, read_run
from metanas.report.summary import summary_table

__all__ = ["RunFiles", "read_run", "summary_table", "write_report"]
