"""Fetch a file over HTTP, whole and checked, or not at all."""

from __future__ import annotations

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from metanas.data.recipe import Progress
from metanas.errors import DataNotFoundError
from metanas.files import replacing

_TIMEOUT_S = 30
_CHUNK_BYTES = 1 << 18


def download(url: str, path: Path, *, md5: str, progress: Progress) -> None:
    """Write what `url` holds to `path`.

    Raises:
        DataNotFoundError: it cannot be reached, breaks off, or is not the file with that MD5 sum.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with replacing(path) as temporary:
        with temporary.open("wb") as stream:
            for chunk in _chunks(url, path, progress):
                digest.update(chunk)
                stream.write(chunk)
        if digest.hexdigest() != md5:
            raise DataNotFoundError(
                f"{url} gave another file than expected (MD5 {digest.hexdigest()}, not {md5})",
                hint=f"try again, or put the right file at {path}",
            )


def _chunks(url: str, path: Path, progress: Progress) -> Iterator[bytes]:
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response:
            total = int(response.headers.get("Content-Length", 0))
            while chunk := response.read(_CHUNK_BYTES):
                done += len(chunk)
                progress(f"downloading {path.name}", done, max(done, total))
                yield chunk
    except (OSError, http.client.HTTPException) as error:
        raise DataNotFoundError(
            f"{url} cannot be downloaded: {error}",
            hint=f"fetch it on a machine with internet access and put it at {path}",
        ) from error
