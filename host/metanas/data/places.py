"""Where a data set's files are looked for."""

from __future__ import annotations

from pathlib import Path

from metanas.errors import DataNotFoundError


def candidates(data_root: Path, *subfolders: str) -> list[Path]:
    """The sub-folders of the data root that may hold a data set, then the root itself."""
    return [*(data_root / subfolder for subfolder in subfolders), data_root]


def find(places: list[Path], stem: str) -> Path | None:
    """The first `stem.zip`, or folder `stem`, in those places."""
    for place in places:
        for path in (place / f"{stem}.zip", place / stem):
            if path.exists():
                return path
    return None


def not_found(name: str, wanted: str, places: list[Path], *, hint: str) -> DataNotFoundError:
    """The error for files that are in none of the places."""
    looked = ", ".join(str(place) for place in places)
    return DataNotFoundError(f"{name}: no {wanted} in {looked}", hint=hint)
