"""A board prepares images exactly as training did."""

import numpy as np
import pytest
from PIL import Image

from metanas.data import EpisodeSampler, EpisodeSettings, load
from metanas_agent.learning.feeding import Feeding
from metanas_agent.learning.pictures import read_images


@pytest.mark.parametrize("grey", [True, False])
def test_as_the_data_set_does_it(tmp_path, grey):
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            size = (20, 33, 3) if name == "a" else (12, 9, 3)  # both are resized
            pixels = rng.integers(0, 256, size, np.uint8)
            for number in range(2):
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    data = load("folder", data_root=tmp_path, image_size=(16, 12), grey=grey)
    settings = EpisodeSettings(ways=2, shots=1, queries=1)
    episode = EpisodeSampler(data.test, settings, 0).batch(0, 1)
    names = [data.test.class_name(int(index)) for index in episode.classes[0]]
    feeding = Feeding(shape=data.shape, mean=data.mean, std=data.std)
    images = read_images([tmp_path / "test" / name / "0.png" for name in names], feeding)
    np.testing.assert_allclose(images, episode.support_images[0].numpy(), atol=1e-6)


def test_models_of_inverted_images(tmp_path):
    Image.new("L", (2, 2), 255).save(tmp_path / "white.png")
    feeding = Feeding(shape=(1, 2, 2), mean=(0.25,), std=(0.5,), inverted=True)
    assert read_images([tmp_path / "white.png"], feeding).tolist() == [[[[-0.5] * 2] * 2]]
