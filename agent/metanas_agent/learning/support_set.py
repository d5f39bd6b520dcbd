"""SupportSet: a folder with a folder of images a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metanas_agent.errors import InvalidSupportSetError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})
"""Of files that are taken for images."""

_LAYOUT = "put the images of each class into a folder with the name of the class"


@dataclass(frozen=True, slots=True)
class SupportSet:
    """Where the images of each class are.

    Args:
        images: name of each class to the paths of its images, both sorted.
    """

    images: dict[str, tuple[Path, ...]]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return tuple(self.images)


def find_images(folder: Path, *, ways: int) -> SupportSet:
    """Look for FOLDER/<class>/<image>; hidden files and files that are no images are passed over.

    Args:
        folder: the folder of class folders.
        ways: number of classes that a model learns.

    Raises:
        InvalidSupportSetError: there is no such folder, a class has no image or a name that is no
            UTF-8, or it has another number of classes.
    """
    if not folder.is_dir():
        raise InvalidSupportSetError(f"{folder} is no folder", hint=_LAYOUT)
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path))
    if len(classes) < 2:
        found = f"one class, {classes[0].name!r}" if classes else "no class folder"
        raise InvalidSupportSetError(
            f"{folder} has {found}, and learning takes at least two", hint=_LAYOUT
        )
    if len(classes) != ways:
        raise InvalidSupportSetError(
            f"{folder} has {len(classes)} classes, and the model learns {ways}",
            hint=f"give {ways} class folders, or export a model for {len(classes)} ways",
        )
    images = {path.name: _images_in(path) for path in classes}
    for name, paths in images.items():
        if not _is_utf8(name):
            raise InvalidSupportSetError(
                f"the name of class folder {name!r} in {folder} is no UTF-8",
                hint="rename it: a class is called as its folder",
            )
        if not paths:
            raise InvalidSupportSetError(
                f"class folder {folder / name} has no image",
                hint=f"put images in it ({', '.join(sorted(SUFFIXES))}), or remove it",
            )
    return SupportSet(images)


def _images_in(folder: Path) -> tuple[Path, ...]:
    return tuple(
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file() and not _is_hidden(path)
    )


def _is_utf8(name: str) -> bool:
    """What is none comes from the file system with each such byte as half a character."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def _is_hidden(path: Path) -> bool:
    return path.name.startswith(".")
