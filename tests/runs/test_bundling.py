"""The bundle of a run: what is in it, and what its card says."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metanas.deploy import (
    Agreement,
    EpisodeAccuracy,
    Network,
    Prediction,
    Verification,
    export_onnx,
    write_verification,
)
from metanas.errors import ExportError, InvalidBundleError, RunFolderError
from metanas.files import write_bytes, write_json
from metanas.runs import RunFolder, bundle
from metanas_agent.bundles import current, install
from metanas_agent.measurement import Measurement
from metanas_agent.state import StateFolder
from support.random_networks import ARCHITECTURE, INPUT_SHAPE, make_card, random_vgg9

MEASURED = Measurement(
    key="model",
    **dict(
        zip(
            ("median_ms", "low_ms", "high_ms", "p10_ms", "p90_ms"),
            (19.5, 19.4, 19.6, 19.1, 20.5),
            strict=True,
        )
    ),
    samples=40,
    repeats=1,
    source="measured",
    runtime="onnx",
    runtime_version="1.20.1",
)


@pytest.fixture(scope="module")
def exported() -> bytes:
    return export_onnx(random_vgg9(), input_shape=INPUT_SHAPE, metadata=make_card())


@pytest.fixture
def run(tmp_path: Path, settings: Any, exported: bytes) -> RunFolder:
    folder = RunFolder.create(tmp_path / "flowers", settings)
    write_bytes(folder.model, exported)
    return folder


def make_verification(architecture: str = ARCHITECTURE) -> Verification:
    accuracy = EpisodeAccuracy(accuracy=0.845, interval=0.012, episodes=600)
    return Verification(
        device="pi0",
        network=Network(name="found", architecture=architecture),
        agreement=Agreement(
            networks=1,
            images=100,
            largest_difference=1e-6,
            largest_share=1e-7,
            p999_share=1e-7,
            top1=1.0,
            tolerance=1e-4,
        ),
        device_accuracy=accuracy,
        host_accuracy=accuracy,
        predicted=Prediction(latency_ms=20.25, low_ms=20, high_ms=21, source="measured"),
        measured=MEASURED,
        medians_ms=(19.5,),
        memory=None,
    )


def pack(run: RunFolder, output: Path, **options: str) -> dict[str, bytes]:
    bundle(run, output, **options)
    with zipfile.ZipFile(output) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_run_gives_the_same_bytes(run: RunFolder, tmp_path: Path) -> None:
    for name in ("first", "second"):
        bundle(run, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_what_is_there_goes_with_the_model(run: RunFolder, tmp_path: Path, exported: bytes) -> None:
    always = {"model.onnx", "labels.json", "example.py", "card.md", "manifest.json"}
    files = pack(run, tmp_path / "bundle")
    assert files.keys() == always
    assert files["model.onnx"] == exported
    assert json.loads(files["labels.json"]) == list("ABCDÉ")
    for name in ("adapt.onnx", "classify.onnx"):
        write_bytes(run.path / name, exported)
    write_verification(run.verification, make_verification())
    files = pack(run, tmp_path / "bundle")
    assert files.keys() == always | {"adapt.onnx", "classify.onnx", "verify.json"}


def test_the_card_tells_promised_and_measured(run: RunFolder, tmp_path: Path) -> None:
    write_verification(run.verification, make_verification())
    cost = {"metric": "latency_ms", "limit": 20.5, "device": "pi0"}
    size = {"metric": "params", "limit": 70_000.0, "device": None}
    write_json(run.search, {"winner": {"architecture": ARCHITECTURE}, "constraints": [cost, size]})
    deployed = {"accuracy": 0.8369, "interval": 0.0083, "episodes": 600}
    entry = {"architecture": ARCHITECTURE, "deployed": deployed}
    write_json(run.evaluation, {"other": {**entry, "architecture": "x"}, "found": entry})
    files = pack(run, tmp_path / "bundle", licence="CC BY 4.0")
    text = files["card.md"].decode()
    for words in (
        *("# flowers\n", "5 classes apart: A, B, C, D, É.", "CC BY 4.0", "glyphs (drawn by"),
        *("latency_ms[pi0] <= 20.5, params <= 70000", "83.7% +- 0.8% (600 tasks)"),
        *("pi0 (onnx)", "| latency promised | 20.25 ms |", "19.5 ms, 80% between 19.1 and 20.5"),
        *("84.5% +- 1.2% (600 tasks)", "| verdict | pass |", "`verify.json`", "`card.md`"),
    ):
        assert words in text
    card = json.loads(files["manifest.json"])["card"]
    assert card["limits"] == ["latency_ms[pi0] <= 20.5", "params <= 70000"]
    assert card["accuracy"] == deployed
    assert card["verification"]["measured"]["median_ms"] == 19.5
    assert (card["licence"], card["dataset"]) == ("CC BY 4.0", "glyphs")


def test_what_belongs_to_another_network_is_left_out(run: RunFolder, tmp_path: Path) -> None:
    write_verification(run.verification, make_verification("k3c16relu"))
    winner = {"architecture": "k3c16relu"}
    write_json(run.search, {"winner": winner, "constraints": [{"metric": "params"}]})
    write_json(run.evaluation, {"found": winner})
    files = pack(run, tmp_path / "bundle")
    assert "verify.json" not in files
    card = json.loads(files["manifest.json"])["card"]
    assert (card["verification"], card["limits"], card["accuracy"]) == (None, [], None)
    assert "it was not verified on a device" in files["card.md"].decode()


def test_an_adaptation_graph_of_another_network_is_refused(run: RunFolder, tmp_path: Path) -> None:
    text = "k3c16relu-k3c16relu"
    other = export_onnx(random_vgg9(text), input_shape=INPUT_SHAPE, metadata=make_card(text))
    write_bytes(run.path / "adapt.onnx", other)
    with pytest.raises(RunFolderError, match=r"adapt\.onnx is of another network"):
        bundle(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_nothing_was_exported(tmp_path: Path, settings: Any) -> None:
    folder = RunFolder.create(tmp_path / "run", settings)
    with pytest.raises(RunFolderError, match=r"model\.onnx does not exist .*metanas export"):
        bundle(folder, tmp_path / "bundle")


def test_a_broken_model_and_one_without_metadata(run: RunFolder, tmp_path: Path) -> None:
    import onnx

    model = onnx.load(run.model)
    del model.metadata_props[:]
    onnx.save(model, run.model)
    with pytest.raises(ExportError, match="does not say 'dataset'"):
        bundle(run, tmp_path / "bundle")
    run.model.write_bytes(b"\xff" * 9)
    with pytest.raises(ExportError, match="is no ONNX model"):
        bundle(run, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_name_that_no_board_would_take(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(InvalidBundleError, match="is no name"):
        bundle(run, tmp_path / "bundle", name="my flowers")


def test_a_board_installs_it(run: RunFolder, tmp_path: Path, exported: bytes) -> None:
    state = StateFolder(tmp_path / "state")
    manifest = bundle(run, tmp_path / "bundle", version="1.0")
    version = install(state, tmp_path / "bundle")
    assert version.manifest.to_json() == manifest.to_json()
    assert (current(state, "flowers") / "model.onnx").read_bytes() == exported
    write_bytes(run.model, _relabelled(exported))
    assert bundle(run, tmp_path / "bundle", version="1.1").version == "1.1"
    install(state, tmp_path / "bundle")
    labels = json.loads((current(state, "flowers") / "labels.json").read_text())
    assert labels == list("VWXYZ")


def _relabelled(model: bytes) -> bytes:
    from metanas.deploy import replace_weights

    card = replace(make_card(), labels=tuple("VWXYZ"))
    return replace_weights(model, random_vgg9(seed=1), metadata=card)
