"""A host that calibrates a table over lost connections: python -m support.calibrating_host.

Exit code 0: the line is written. 3: it stopped with an error of ours, to be started again.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from metanas.profiling import calibrate_table
from metanas.profiling.fidelity import network_run, networks_journal, table_calibration
from metanas.profiling.sweep import plan
from support.lost_host import run_host


def keep_journal(table, path):
    """In the place of `write_table`: the journal is removed right behind it."""
    journal = networks_journal(path)
    shutil.copy(journal, journal.with_suffix(".kept"))
    write_table(table, path)


write_table = table_calibration.write_table


def main(port, table, networks):
    journal = networks_journal(table)
    if journal.with_suffix(".kept").exists() and not journal.exists():
        return  # it was killed between its last act and its end
    plan.AGAIN_SHARE = 0  # each network once a round, so that one more is one too many
    network_run.TRIES = 100  # what is killed here is no fault of the network
    table_calibration.write_table = keep_journal
    run_host(port, lambda device: calibrate_table(device, table, networks=networks))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
