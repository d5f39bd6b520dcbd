"""How many tasks are computed at once."""

import pytest
import torch

from metanas.meta.task_parts import task_parts


@pytest.mark.parametrize(
    ("side", "tasks", "sizes"),
    [(28, 3, [3]), (110, 5, [2, 2, 1]), (300, 2, [1, 1])],
    ids=["small", "larger", "large"],
)
def test_small_tasks_go_together(draw_episodes, side, tasks, sizes):
    episodes = draw_episodes((1, side, side), tasks=tasks, ways=2, shots=1, queries=1)
    parts = list(task_parts(episodes))
    assert [len(part) for part in parts] == sizes
    images = torch.cat([part.query_images for part in parts])
    assert torch.equal(images, episodes.query_images)
