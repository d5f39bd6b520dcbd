"""Class folders of pictures, in a zip archive or on disk, read in the same way."""

from __future__ import annotations

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from metanas.data.pictures import SUFFIXES, decode, size_of
from metanas.data.recipe import ClassImages
from metanas.errors import ArchiveError, EmptyClassError


class ImageTree(ABC):
    """Folders of pictures; a folder without sub-folders is a class.

    Args:
        path: the archive or the top folder.
        folders: every folder, relative to the top, with `/`.
        members: every file likewise.
    """

    def __init__(self, path: Path, folders: set[str], members: Sequence[str]) -> None:
        self.path = path
        self._folders = folders
        self._members = [member for member in sorted(members) if _is_picture(member)]

    @abstractmethod
    def read(self, member: str) -> bytes:
        """A member's bytes. Raises ArchiveError if they cannot be read."""

    def classes(self, shape: tuple[int, int, int], *, invert: bool = False) -> list[ClassImages]:
        """The classes by name, to be read as (count, *shape); `invert` swaps black and white.

        Raises:
            EmptyClassError: a class folder has no picture.
        """
        by_class: dict[str, list[str]] = {name: [] for name in sorted(self._folders)}
        for member in self._members:
            by_class.setdefault(str(PurePosixPath(member).parent), []).append(member)
        parents = {str(PurePosixPath(name).parent) for name in by_class}
        leaves = {name: members for name, members in by_class.items() if name not in parents}
        for name, members in leaves.items():
            if not members:
                raise EmptyClassError(
                    f"class folder {name!r} of {self.path} has no image",
                    hint="put images in it, or remove it",
                )
        return [
            ClassImages(name, len(members), partial(self._images, members, shape, invert))
            for name, members in sorted(leaves.items())
        ]

    def first_size(self) -> tuple[int, int] | None:
        """Height and width of the first picture, None if there is none."""
        for member in self._members:
            return size_of(self.read(member), where=self._where(member))
        return None

    def _images(
        self, members: list[str], shape: tuple[int, int, int], invert: bool
    ) -> NDArray[np.uint8]:
        images = np.empty((len(members), *shape), np.uint8)
        for image, member in zip(images, members, strict=True):
            image[:] = decode(self.read(member), shape, where=self._where(member))
        return np.invert(images, out=images) if invert else images

    def _where(self, member: str) -> str:
        return f"{self.path}: {member}"


class _FolderTree(ImageTree):
    def __init__(self, path: Path) -> None:
        visible = [
            entry
            for entry in path.rglob("*")
            if not any(part.startswith(".") for part in entry.relative_to(path).parts)
        ]
        folders = {entry.relative_to(path).as_posix() for entry in visible if entry.is_dir()}
        files = [entry.relative_to(path).as_posix() for entry in visible if entry.is_file()]
        super().__init__(path, folders, files)

    def read(self, member: str) -> bytes:
        try:
            return (self.path / member).read_bytes()
        except OSError as error:
            raise ArchiveError(
                f"{self._where(member)} cannot be read: {error.strerror}",
                hint="check the file and its rights",
            ) from error


class _ZipTree(ImageTree):
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        # Some archives hold `train/<class>/…`, some `<class>/…`.
        self._names = {
            info.filename.removeprefix(f"{path.stem}/"): info.filename
            for info in archive.infolist()
            if not _is_hidden(info.filename)
        }
        folders = {name.rstrip("/") for name in self._names if name.endswith("/")}
        super().__init__(path, folders, [name for name in self._names if not name.endswith("/")])

    def read(self, member: str) -> bytes:
        try:
            return self._archive.read(self._names[member])
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
            raise ArchiveError(
                f"{self._where(member)} cannot be read: {error}",
                hint="fetch the archive again; it is damaged",
            ) from error


@contextmanager
def open_tree(path: Path) -> Iterator[ImageTree]:
    """Open a folder, or a zip archive.

    Raises:
        ArchiveError: the archive is broken.
    """
    if path.is_dir():
        yield _FolderTree(path)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ArchiveError(
            f"{path} is no whole zip archive: {error}", hint="fetch it again; it is damaged"
        ) from error
    with archive:
        yield _ZipTree(path, archive)


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES
