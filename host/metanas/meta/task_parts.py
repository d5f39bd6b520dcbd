"""How many tasks are computed at once."""

from __future__ import annotations

from collections.abc import Iterator

from metanas.data import Episodes

_PIXELS_AT_ONCE = 128 * 1024


def task_parts(episodes: Episodes) -> Iterator[Episodes]:
    """The tasks in parts that are computed as one batch each; views.

    A GPU takes all at once. On a CPU, where a small operation is mostly its call, small tasks go
    together, but more than fit in a core's cache take longer a task.
    """
    support, query = episodes.support_images, episodes.query_images
    if support.device.type != "cpu":
        return episodes.parts(len(episodes))
    pixels = (support.shape[1] + query.shape[1]) * support.shape[-2] * support.shape[-1]
    return episodes.parts(max(1, _PIXELS_AT_ONCE // pixels))
