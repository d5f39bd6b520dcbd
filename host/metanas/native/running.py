"""Run a network's program here, on this processor or an emulated one, to see what it computes."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess

import numpy as np
from numpy.typing import NDArray

from metanas.errors import NativeError
from metanas.native.cache import Artifact
from metanas.native.targets import Target, find_target

_LONGEST_S = 600.0
_HINT = "build it again, and report this network's architecture"


def emulator_of(target: Target) -> tuple[str, ...] | None:
    """The command that runs a target's programs here: none of it where this processor does.

    None where nothing here can run them.
    """
    if platform.machine() in target.machines:
        return ()
    known = target.emulator and shutil.which(target.emulator[0])
    return target.emulator if known else None


def run_network_program(artifact: Artifact, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The outputs of a network's program: a row an image.

    Args:
        artifact: of a target that `emulator_of` finds a command for.
        images: (images, channels, height, width), of the network's size.

    Raises:
        NativeError: the program died, or did not answer as harness protocol 1 says.
    """
    emulator = emulator_of(find_target(artifact.target))
    if emulator is None:
        raise NativeError(
            f"nothing here runs programs for {artifact.target}",
            hint="install qemu-user-static",
        )
    asked = b"".join(
        b"input\n" + image.astype("<f4").tobytes() + b"run 1\noutput\n" for image in images
    )
    try:
        done = subprocess.run(
            [*emulator, str(artifact.path)],
            input=asked,
            capture_output=True,
            timeout=_LONGEST_S,
            check=False,
            env={key: value for key, value in os.environ.items() if key == "PATH"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NativeError(
            f"the program for {artifact.target} cannot be run: {error}", hint=_HINT
        ) from error
    return _outputs(done, len(images), artifact.target)


def _outputs(
    done: subprocess.CompletedProcess[bytes], images: int, target: str
) -> NDArray[np.float32]:
    """Read the answers: the greeting, then for each image `ok`, `ns N`, `bytes N` and the bytes."""
    greeting, _, rest = done.stdout.partition(b"\n")
    rows: list[NDArray[np.float32]] = []
    for _ in range(images):
        fed, _, rest = rest.partition(b"\n")
        ran, _, rest = rest.partition(b"\n")
        given, _, rest = rest.partition(b"\n")
        word, _, size = given.partition(b" ")
        answered = fed == b"ok" and ran.startswith(b"ns ") and word == b"bytes" and size.isdigit()
        if not answered or len(rest) < int(size):
            raise NativeError(
                f"the program for {target} ended with status {done.returncode} "
                f"after {len(rows)} of {images} images; it greeted {greeting[:80]!r}",
                hint=_HINT,
            )
        rows.append(np.frombuffer(rest[: int(size)], "<f4"))
        rest = rest[int(size) :]
    return np.stack(rows).astype(np.float32)
