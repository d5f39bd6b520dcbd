"""Another machine in our network, real as far as the kernel goes."""

import os
import shutil
from contextlib import ExitStack

import pytest

from boards.network import cable
from boards.rootfs import BoardsUnavailableError

_TOOLS = ("ip", "nsenter", "setpriv", "unshare")


@pytest.fixture
def neighbour():
    """A network namespace at the other end of a cable."""
    if os.geteuid():
        pytest.skip("network namespaces need root")
    if missing := [tool for tool in _TOOLS if not shutil.which(tool)]:
        pytest.skip(f"network namespaces need {', '.join(missing)}")
    with ExitStack() as stack:
        try:
            laid = stack.enter_context(cable())
        except BoardsUnavailableError as error:
            pytest.skip(str(error))
        yield laid
