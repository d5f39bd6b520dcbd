"""Store: where tables lie, and what they are called.

Tables that come with metanas are read-only; a user's own lie in the data folder of the XDG base
directory specification. Measured, simulated and estimated tables differ in their file names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metanas.devices import profiles_folder
from metanas.errors import TableError
from metanas.files import data_folder
from metanas.spaces import SearchSpace, make_space

SUFFIX = ".tsv"


def user_folder() -> Path:
    """Where this user's tables lie: `metanas/tables` in the data folder."""
    return data_folder() / "tables"


def shipped_folder() -> Path:
    """Where the tables that come with metanas lie."""
    return profiles_folder() / "tables"


def table_name(
    device: str,
    space: SearchSpace[Any],
    source: str,
    *,
    batch: int = 1,
    cache: str = "warm",
    threads: int = 1,
) -> str:
    """A file name such as `local-vgg9-1x28x28-5way.measured.tsv`.

    Settings of the space that are not its defaults are named too, as in
    `local-vgg9-1x28x28-5way-downsampling-strided.measured.tsv`, and so is a batch of more than
    one image, a cold cache, and more than one thread.
    """
    defaults = make_space(space.name, input_shape=space.input_shape, ways=space.ways).settings
    switches = [
        f"{name}-{value}" for name, value in space.settings.items() if defaults.get(name) != value
    ]
    if batch > 1:
        switches.append(f"batch-{batch}")
    if cache != "warm":
        switches.append(cache)
    if threads > 1:
        switches.append(f"threads-{threads}")
    shape = "x".join(map(str, space.input_shape))
    name = "-".join([device, space.name, shape, f"{space.ways}way", *switches])
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}.{source}{SUFFIX}"


def tables(*folders: Path) -> Iterator[Path]:
    """Paths of the tables in these folders, or in the user's and the shipped one."""
    for folder in folders or (user_folder(), shipped_folder()):
        yield from sorted(folder.glob(f"*{SUFFIX}"))


def find_table(text: str) -> Path:
    """The path of a table that is named by its path, its file name or the start of that.

    Raises:
        TableError: there is none, or the text is the start of several names.
    """
    if Path(text).is_file():
        return Path(text)
    found = [path for path in tables() if path.name.startswith(text)]
    exact = [path for path in found if path.name in (text, text + SUFFIX)]
    if not found:
        raise TableError(
            f"no table {text!r}", hint="metanas-profile list shows the tables that are there"
        )
    if len(found) > 1 and not exact:
        raise TableError(
            f"{text!r} could be {' or '.join(path.name for path in found)}",
            hint="write more of the name",
        )
    return (exact or found)[0]
