"""How a failure of the system is put into words."""

import errno
import os

import pytest

from metanas.cli.shell import print_failure


def failure(number, *filename):
    return OSError(number, os.strerror(number), *filename)


FREE_SPACE = "  free some space and run it again"
CHECK_PATH = "  check the path and its rights"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            failure(errno.ENOSPC, "runs/x.json"),
            ("error: the disk is full: runs/x.json", FREE_SPACE),
        ),
        (failure(errno.ENOSPC), ("error: the disk is full", FREE_SPACE)),
        (failure(errno.EDQUOT), ("error: the disk is full", FREE_SPACE)),
        (failure(errno.EACCES, "runs"), ("error: Permission denied: runs", CHECK_PATH)),
        (failure(errno.EIO), ("error: Input/output error",)),
        (OSError("no reason given"), ("error: no reason given",)),
    ],
)
def test_a_failure_names_the_file_where_it_is_known(capsys, error, said):
    print_failure(error)
    assert capsys.readouterr().err.splitlines() == list(said)
