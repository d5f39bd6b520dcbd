import json
import os

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from PIL import Image

from metanas_agent.errors import (
    InvalidImageError,
    InvalidModelError,
    InvalidSettingsError,
    InvalidSupportSetError,
)
from metanas_agent.learning.classifier import Classifier
from metanas_agent.learning.feeding import Feeding
from metanas_agent.learning.learn import learn
from metanas_agent.learning.pictures import read_images
from support.prototypes import (
    COLOURS,
    METADATA,
    SHAPE,
    prototypes,
    write_models,
    write_pictures,
)


@pytest.fixture
def classifier(graph, support, tmp_path):
    learn(support, graph, tmp_path / "classifier.onnx")
    return tmp_path / "classifier.onnx"


def test_the_weights_are_what_the_graph_learns(classifier, support):
    feeding = Feeding(shape=SHAPE, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))
    images = read_images(sorted(support.glob("*/*.png")), feeding)
    expected = prototypes(images, np.repeat(np.arange(3), 3))
    stored = {tensor.name: tensor for tensor in onnx.load(classifier).graph.initializer}
    np.testing.assert_allclose(numpy_helper.to_array(stored["weight"]), expected, rtol=1e-5)
    np.testing.assert_allclose(
        numpy_helper.to_array(stored["bias"]), -0.5 * (expected**2).sum(1), rtol=1e-5
    )


def test_new_pictures_of_any_size_are_put_into_their_classes(classifier, tmp_path):
    fresh = write_pictures(tmp_path / "fresh", size=(37, 50), seed=1)
    classified = Classifier(classifier, name="classifier")
    for path in fresh.glob("*/*.png"):
        assert next(iter(classified.classify(path))) == path.parent.name


def test_the_file_needs_none_of_our_code(classifier):
    onnx.checker.check_model(onnx.load(classifier), full_check=True)
    session = onnxruntime.InferenceSession(classifier, providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["labels"]) == ["moss", "rust", "sky"]
    assert (metadata["ways"], metadata["dataset"]) == ("3", "support")
    assert metadata["mean"] == METADATA["mean"]
    made = json.loads(metadata["provenance"])
    assert made["images"] == {"moss": 3, "rust": 3, "sky": 3}
    (logits,) = session.run(None, {"images": np.zeros((1, *SHAPE), np.float32)})
    assert logits.shape == (1, 3)


def test_it_says_what_it_learned(graph, support, tmp_path):
    learned = learn(support, graph, tmp_path / "new" / "classifier.onnx")
    assert learned.classifier.is_file()
    assert (learned.labels, learned.images, learned.right) == (tuple(COLOURS), 9, 9)
    assert learned.duration_ms > 0


def test_any_number_of_images_of_any_size_and_colour(graph, support, tmp_path):
    Image.new("L", (300, 20), 128).save(support / "moss" / "grey.bmp")
    Image.new("RGBA", (4, 4), (40, 160, 60, 9)).save(support / "moss" / "TRANSPARENT.PNG")
    Image.new("P", (8, 8)).save(support / "sky" / "palette.gif")
    (support / "moss" / "notes.txt").write_text("no image")
    (support / "moss" / ".hidden.png").write_text("no image")
    (support / ".hidden").mkdir()
    assert learn(support, graph, tmp_path / "classifier.onnx").images == 12


def remove_class(support):
    for path in (support / "sky").iterdir():
        path.unlink()
    (support / "sky").rmdir()


def one_class(support):
    remove_class(support)
    (support / "rust").rename(support.parent / "elsewhere")


def empty_class(support):
    for path in (support / "sky").iterdir():
        path.unlink()


def corrupt(support):
    Image.new("RGB", (64, 64), (9, 99, 199)).save(support / "sky" / "photo.jpeg")
    data = (support / "sky" / "photo.jpeg").read_bytes()
    (support / "sky" / "photo.jpeg").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [
        (remove_class, InvalidSupportSetError, "has 2 classes, and the model learns 3"),
        (one_class, InvalidSupportSetError, "has one class, 'moss'"),
        (empty_class, InvalidSupportSetError, "sky has no image"),
        (lambda support: (support / "one more").mkdir(), InvalidSupportSetError, "has 4 classes"),
        (lambda support: support.rename(support.parent / "away"), InvalidSupportSetError, "folder"),
        (corrupt, InvalidImageError, "photo.jpeg is no readable image"),
        (lambda s: (s / "sky" / "x.png").write_bytes(b""), InvalidImageError, "x.png is no"),
    ],
)
def test_a_folder_that_makes_no_sense_leaves_the_old_classifier(
    classifier, graph, support, spoil, error, words
):
    before = classifier.read_bytes()
    spoil(support)
    with pytest.raises(error, match=words):
        learn(support, graph, classifier)
    assert classifier.read_bytes() == before
    assert not list(classifier.parent.glob(".classifier*"))


def test_an_image_that_would_fill_the_memory_is_refused(graph, support, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)
    with pytest.raises(InvalidImageError, match=r"0\.png is no readable image"):
        learn(support, graph, tmp_path / "classifier.onnx")


def test_a_class_folder_whose_name_is_no_utf8_is_named(graph, support, tmp_path):
    (support / "sky").rename(support / os.fsdecode(b"caf\xe9"))
    with pytest.raises(InvalidSupportSetError, match=r"class folder 'caf\\udce9' in .* no UTF-8"):
        learn(support, graph, tmp_path / "classifier.onnx")
    assert not (tmp_path / "classifier.onnx").exists()


def test_a_folder_of_classes_may_have_any_name(graph, support, tmp_path):
    strange = support.rename(tmp_path / os.fsdecode(b"f\xfcr mich"))
    learn(strange, graph, tmp_path / "classifier.onnx")
    stored = {
        each.key: each.value for each in onnx.load(tmp_path / "classifier.onnx").metadata_props
    }
    assert stored["dataset"] == "f\N{REPLACEMENT CHARACTER}r mich"


@pytest.mark.parametrize("name", ["adapt.onnx", "model.onnx"])
def test_what_learning_needs_is_never_replaced(graph, support, name):
    before = (graph.parent / name).read_bytes()
    with pytest.raises(InvalidSettingsError, match="would be replaced"):
        learn(support, graph, graph.parent / name)
    assert (graph.parent / name).read_bytes() == before


def without(name):
    return {key: value for key, value in METADATA.items() if key != name}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        (without("mean"), "no 'mean' in its metadata"),
        ({**METADATA, "std": "[0.1, 0.2]"}, "'std' of its metadata is no list of 3 numbers"),
        ({**METADATA, "std": "[0.1, 0.2, 0]"}, "not above 0"),
        ({**METADATA, "mean": "[1, 2, NaN]"}, "'mean' of its metadata"),
        ({**METADATA, "mean": "nonsense"}, "'mean' of its metadata"),
    ],
)
def test_a_graph_that_does_not_say_how_to_feed_it(tmp_path, support, metadata, words):
    graph = write_models(tmp_path / "export", metadata=metadata)
    with pytest.raises(InvalidModelError, match=words):
        learn(support, graph, tmp_path / "classifier.onnx")
    assert not (tmp_path / "classifier.onnx").exists()


def test_a_broken_graph_a_wrong_one_and_one_of_another_export(graph, support, tmp_path):
    other = write_models(tmp_path / "other", shape=(3, 6, 6))
    network = graph.parent / "model.onnx"
    for spoilt, words in (
        (tmp_path / "absent.onnx", "cannot be read"),
        (network, "takes images, not support_images and support_labels"),
    ):
        with pytest.raises(InvalidModelError, match=words):
            learn(support, spoilt, tmp_path / "classifier.onnx")
    network.write_bytes((other.parent / "model.onnx").read_bytes())
    with pytest.raises(InvalidModelError, match=r"no weights 'weight' of shape \(3, 240\)"):
        learn(support, graph, tmp_path / "classifier.onnx")
    network.unlink()
    with pytest.raises(InvalidModelError, match=r"model\.onnx cannot be read"):
        learn(support, graph, tmp_path / "classifier.onnx")
    graph.write_bytes(graph.read_bytes()[:-50])
    with pytest.raises(InvalidModelError, match="cannot be loaded by onnxruntime"):
        learn(support, graph, tmp_path / "classifier.onnx")
    assert not (tmp_path / "classifier.onnx").exists()


def test_a_full_disk_leaves_the_old_classifier(classifier, graph, support, full_disk):
    before = classifier.read_bytes()
    with full_disk(), pytest.raises(OSError, match="large") as caught:
        learn(support, graph, classifier)
    assert caught.value.filename == str(classifier)
    assert classifier.read_bytes() == before
    assert not list(classifier.parent.glob(".classifier*"))
