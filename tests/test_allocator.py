import platform
import subprocess
import sys

import pytest

PAGES_OF_FIVE_MAPS = """
import resource, sys
import numpy as np
from metanas.allocator import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

np.ones(16 * 1024**2)
before = faults()
for _ in range(5):
    np.ones(16 * 1024**2)
print(faults() - before)
"""


def new_pages(mode: str) -> int:
    command = [sys.executable, "-c", PAGES_OF_FIVE_MAPS, mode]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="sets the GNU C library alone")
def test_memory_that_was_given_back_is_used_again():
    assert new_pages("keep") < 50
    assert new_pages("leave") > 500  # 640 MB, by pages of up to 2 MiB or of 4 KiB
