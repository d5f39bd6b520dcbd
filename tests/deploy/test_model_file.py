"""A file by itself, fed with random images or with pictures."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import onnx
import pytest
from PIL import Image

from metanas.deploy import Network, adapted_from_file, architecture_of, verify
from metanas.errors import ArchiveError, DataError, EmptyClassError, ExportError
from metanas_agent.timer import TimerSettings
from support.random_networks import ARCHITECTURE, WAYS

verify_file = partial(
    verify,
    network=Network(name="model.onnx", architecture=ARCHITECTURE),
    predicted=None,
    settings=TimerSettings(budget_ms=5),
)


def with_metadata(model: bytes, **changes: str | None) -> bytes:
    proto = onnx.load_model_from_string(model)
    said = {entry.key: entry.value for entry in proto.metadata_props} | changes
    kept = {key: value for key, value in said.items() if value is not None}
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, kept)
    return proto.SerializeToString()


def draw(path, grey, size=(28, 28)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, grey).save(path)


def test_random_images_prove_the_outputs_but_no_accuracy(model, make_device):
    adapted = adapted_from_file(model, count=4, seed=3)
    assert adapted.images.shape == (4, 1, 28, 28)
    assert not np.array_equal(adapted.images, adapted_from_file(model, count=4).images)
    verification = verify_file(make_device(), [adapted])
    assert verification.passed
    assert verification.agreement.images == 4
    assert verification.device_accuracy is None
    assert (verification.latency_verdict, verification.ratio) == ("not predicted", None)
    assert verification.memory_verdict == "not promised"
    spoiled = verify_file(make_device(tamper=lambda outputs: -outputs), [adapted])
    assert not spoiled.passed


def test_pictures_become_the_input_that_the_model_wants(model, tmp_path):
    draw(tmp_path / "b.png", 255)
    draw(tmp_path / "a.png", 51, size=(56, 14))
    adapted = adapted_from_file(model, pictures=tmp_path)
    assert adapted.images.shape == (2, 1, 28, 28)
    for image, share in zip(adapted.images, (0.2, 1.0), strict=True):
        assert image == pytest.approx((share - 0.1) / 0.3, abs=1e-5)
    assert adapted.labels.tolist() == [-1, -1]
    inverted = with_metadata(model, inverted="true")
    negative = adapted_from_file(inverted, pictures=tmp_path)
    assert negative.images[0] == pytest.approx((0.8 - 0.1) / 0.3, abs=1e-5)


def test_class_folders_give_an_accuracy(model, make_device, tmp_path):
    draw(tmp_path / "B" / "1.png", 90)
    draw(tmp_path / "É" / "1.png", 30)
    adapted = adapted_from_file(model, pictures=tmp_path)
    assert adapted.labels.tolist() == [1, 4]
    rows = np.arange(2)
    won = adapted.host_logits[rows, adapted.labels] == adapted.host_logits.max(1)
    accuracy = verify_file(make_device(), [adapted]).device_accuracy
    assert accuracy.accuracy == won.mean()


def test_architecture_is_what_the_file_says(model):
    assert architecture_of(model) == ARCHITECTURE
    assert architecture_of(with_metadata(model, architecture=None)) == ""


def test_host_runs_the_nodes_as_the_format_says(model, module):
    adapted = adapted_from_file(model, count=3)
    import torch

    with torch.no_grad():
        expected = module(torch.from_numpy(adapted.images)).numpy()
    assert adapted.host_logits == pytest.approx(expected, abs=1e-4 * float(np.ptp(expected)))
    assert adapted.host_logits.shape == (3, WAYS)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"mean": None}, "does not say how pictures become its input"),
        ({"std": "[1, 2]"}, "does not say how pictures become its input"),
        ({"labels": "{"}, "does not say how pictures become its input"),
        ({"labels": json.dumps(["x"])}, "'A' is no class of the model, which knows x"),
    ],
)
def test_metadata_that_does_not_fit_is_named(model, tmp_path, metadata, message):
    draw(tmp_path / "A" / "1.png", 1)
    with pytest.raises((ExportError, DataError), match=message):
        adapted_from_file(with_metadata(model, **metadata), pictures=tmp_path)


def test_broken_pictures_are_named(model, tmp_path):
    with pytest.raises(DataError, match="no picture in"):
        adapted_from_file(model, pictures=tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        adapted_from_file(model, pictures=tmp_path / "absent")
    draw(tmp_path / "A" / "1.png", 1)
    (tmp_path / "B").mkdir()
    with pytest.raises(EmptyClassError, match="'B'"):
        adapted_from_file(model, pictures=tmp_path)
    (tmp_path / "B" / "2.png").write_bytes((tmp_path / "A" / "1.png").read_bytes()[:40])
    with pytest.raises(ArchiveError, match=r"2\.png"):
        adapted_from_file(model, pictures=tmp_path)


def test_files_that_cannot_be_verified_are_refused(model):
    for broken in (model[:500], b"", b"a\ttable\n"):
        with pytest.raises(ExportError, match=r"^net\.onnx is not an ONNX model"):
            adapted_from_file(broken, name="net.onnx")
    proto = onnx.load_model_from_string(model)
    proto.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(ExportError, match="size of its images free"):
        adapted_from_file(proto.SerializeToString())
    proto = onnx.load_model_from_string(model)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    with pytest.raises(ExportError, match="cannot run the model with one image"):
        adapted_from_file(proto.SerializeToString())
