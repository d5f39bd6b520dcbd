"""What was found goes to a board: exported, learned further there, quantised, bundled, verified.

The 64-bit board has an older ONNX Runtime than this machine, as boards do; the ARMv6 one has none.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import subprocess
from contextlib import closing
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image

from boards.conftest import ARM64
from metanas.deploy import compare, opset_of, quantise
from metanas.devices import open_device
from metanas.meta import OuterSettings
from metanas.parallel import Workers
from metanas.profiling import profile, table_name
from metanas.runs import FOUND, RunFolder, RunSettings, bundle, train_network
from metanas_agent.learning.classifier import Classifier
from metanas_agent.learning.learn import learn
from metanas_agent.learning.pictures import read_images
from metanas_agent.timer import TimerSettings
from support.random_networks import ARCHITECTURE, WAYS

pytestmark = [pytest.mark.boards, pytest.mark.timeout(900)]

OLDER = "1.20.1"
OPSET_OF_OLDER = 21
LABELS = ("anna", "ben", "cat", "door", "Übung")
SHOTS, QUERIES = 2, 4
EPISODES = {"pi0": 2, "pi4": 4}  # on ARMv6, each is a program that has to be built
SETTINGS = TimerSettings(budget_ms=20)


@dataclasses.dataclass(frozen=True)
class OneNetwork:
    """A space with the layers of one architecture: emulated boards are slow."""

    space: object

    @property
    def all_layers(self):
        return tuple(dict.fromkeys(self.space.layers(self.space.parse(ARCHITECTURE))))

    def __getattr__(self, name):
        return getattr(self.space, name)


@pytest.fixture(scope="module")
def arm64_board(new_board):
    others = [wheel for wheel in ARM64.wheels if not wheel.startswith("onnxruntime==")]
    older = dataclasses.replace(ARM64, wheels=(*others, f"onnxruntime=={OLDER}"))
    with new_board("pi4", older) as board:
        yield board


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder with a network that has seen one task."""
    settings = RunSettings(ways=WAYS, shots=SHOTS, queries=QUERIES, train_queries=1, workers=1)
    folder = RunFolder.create(tmp_path_factory.mktemp("runs") / "flowers", settings)
    outer = OuterSettings(epochs=1, iterations=1, tasks=1, inner_steps=2)
    with Workers(1) as workers:
        train_network(workers, folder, FOUND, ARCHITECTURE, outer)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of pictures a class: a random pattern each, plus noise; the last is a JPEG."""
    folder = tmp_path_factory.mktemp("pictures") / "photos"
    rng = np.random.default_rng(3)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        pattern = np.kron(rng.uniform(40, 215, (7, 8)), np.ones((6, 6)))
        for number in range(SHOTS + 1):
            noisy = (pattern + rng.normal(0, 25, pattern.shape)).clip(0, 255).astype(np.uint8)
            suffix = "png" if number < SHOTS else "jpg"
            Image.fromarray(noisy).save(folder / label / f"{number}.{suffix}")
    return folder


@pytest.fixture(scope="module")
def exported(laptop, pi4, trained):
    """The run, with what `metanas export` wrote in the newest opset that the 64-bit board reads."""
    arguments = ("--device", "pi4", "--opset", OPSET_OF_OLDER)
    laptop.must("export", trained.path, *arguments, program="metanas")
    return trained


@pytest.fixture(params=["pi0", "pi4"])
def board(request):
    """Either board, paired."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def device(laptop, pi4, monkeypatch):
    laptop.use(monkeypatch)
    with closing(open_device("pi4")) as opened:
        yield opened


def refused(board, *arguments):
    """The one line that a command of the agent's says when it fails."""
    with pytest.raises(subprocess.CalledProcessError) as failure:
        board.metanas_agent(*arguments)
    assert (failure.value.returncode, failure.value.stdout) == (1, "")
    (line,) = failure.value.stderr.splitlines()
    return line


def pictures_of(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


# -- the 64-bit board


def test_what_the_board_cannot_read_is_refused(laptop, pi4, exported):
    """Its own, older runtime says what it reads."""
    before = exported.model.read_bytes()
    assert opset_of(onnx.load_from_string(before)) == OPSET_OF_OLDER
    command = ("export", exported.path, "--device", "pi4", "--opset", OPSET_OF_OLDER + 1)
    code, _, complaint = laptop.run(*command, program="metanas")
    assert code == 1
    assert f"its onnxruntime {OLDER} runs up to opset {OPSET_OF_OLDER}" in complaint
    assert exported.model.read_bytes() == before


def test_the_board_learns_what_this_machine_learns(pi4, device, exported, photos, tmp_path):
    pi4.put(exported.model, exported.adaptation_graph, photos)
    said = json.loads(
        pi4.metanas_agent(
            *("learn", "--support", "photos", "--model", "adapt.onnx", "-o", "mine.onnx", "--json")
        )
    )
    here = learn(photos, exported.adaptation_graph, tmp_path / "here.onnx")
    assert said["labels"] == list(here.labels) == sorted(LABELS)
    assert (said["images"], said["right"]) == (here.images, here.right)

    pi4.get("mine.onnx", tmp_path / "there.onnx")
    feeding = Classifier(here.classifier, name="here").feeding
    images = read_images(pictures_of(photos), feeding)
    session = onnxruntime.InferenceSession(here.classifier)
    logits = session.run(None, {"images": images})[0]
    learned = device.run_model((tmp_path / "there.onnx").read_bytes(), images, SETTINGS).outputs
    agreement = compare([(logits, learned)])
    assert agreement.within, agreement
    assert agreement.top1 == 1


def test_the_board_says_what_is_on_pictures(pi4, exported, photos, tmp_path):
    learn(photos, exported.adaptation_graph, tmp_path / "mine.onnx")
    pi4.put(tmp_path / "mine.onnx", photos)
    names = [str(path.relative_to(photos.parent)) for path in pictures_of(photos)]
    said = json.loads(pi4.metanas_agent("classify", *names, "--classifier", "mine.onnx", "--json"))
    classifier = Classifier(tmp_path / "mine.onnx", name="mine")
    assert [answer["image"] for answer in said] == names
    for answer, path in zip(said, pictures_of(photos), strict=True):
        here = classifier.classify(path)
        assert answer["label"] == next(iter(here))
        assert answer["probabilities"] == pytest.approx(here, abs=1e-4)


def test_a_support_folder_that_cannot_be_learned_leaves_the_classifier(
    pi4, exported, photos, tmp_path
):
    pi4.put(exported.model, exported.adaptation_graph, photos)
    pi4.ssh("sh", "-c", "cp -r photos broken; echo old > mine.onnx; echo x > broken/ben/0.png")
    pi4.ssh("sh", "-c", "mkdir one; cp -r photos/anna one")
    command = ("learn", "--model", "adapt.onnx", "-o", "mine.onnx", "--support")
    assert "broken/ben/0.png is no readable image" in refused(pi4, *command, "broken")
    assert "one has one class, 'anna'" in refused(pi4, *command, "one")
    assert pi4.ssh("cat", "mine.onnx") == "old\n"


def test_a_bundle_is_learned_from_and_classifies(laptop, pi4, exported, photos, tmp_path):
    packed = tmp_path / "flowers.metanas"
    laptop.must("bundle", exported.path, "-o", packed, program="metanas")
    pi4.put(packed, photos)
    pi4.metanas_agent("install", packed.name)
    said = pi4.metanas_agent(
        *("learn", "--support", "photos", "--bundle", "flowers", "-o", "own.onnx")
    )
    assert "5 classes (anna, ben, cat, door, Übung)" in said
    labels = Classifier(exported.model, name="model").labels
    said = pi4.metanas_agent("classify", "photos/ben/0.png", "--bundle", "flowers", "--json")
    (answer,) = json.loads(said)
    assert answer["label"] in labels


def test_int8_is_tried_on_the_board(laptop, pi4, exported):
    command = ("quantise", exported.path, "--device", "pi4", "--episodes", 6)
    laptop.must(*command, program="metanas")
    verdict = json.loads(exported.quantisation.read_text())
    assert (verdict["kept"], exported.int8_model.exists()) == (False, False)
    assert "an emulator timed 12 of 12 runs" in verdict["reasons"]
    assert verdict["top1"] > 0.9


def test_an_int8_file_is_verified_on_the_board(laptop, pi4, exported, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((10, 1, 28, 28), np.float32)
    path = tmp_path / "model.int8.onnx"
    path.write_bytes(quantise(exported.model.read_bytes(), images))
    command = ("verify", path, "--device", "pi4", "--episodes", 40, "--json")
    told = json.loads(laptop.must(*command, program="metanas"))
    assert told["passed"] is True
    assert told["network"]["dtype"] == "int8"
    assert told["agreement"]["images"] == 40


# -- either board


def test_a_run_is_verified_on_episodes(laptop, board, trained, monkeypatch, tmp_path):
    laptop.use(monkeypatch)
    with closing(open_device(board.name)) as device:
        space = OneNetwork(trained.settings.make_space(trained.settings.load_data()))
        table = tmp_path / table_name(board.name, space, device.describe().source)
        profile(device, space, SETTINGS, table, rounds=1)
    trained.keep_table(table, allow_emulated=True)
    episodes = EPISODES[board.name]
    command = ("verify", trained.path, "--device", board.name, "--episodes", episodes, "--json")
    told = json.loads(laptop.must(*command, program="metanas"))
    assert told["passed"] is True
    assert told["measured"]["source"] == "emulated"
    assert told["agreement"]["networks"] == episodes
    assert told["agreement"]["images"] == episodes * WAYS * QUERIES
    assert told["agreement"]["top1"] == 1
    assert told["device_accuracy"] == told["host_accuracy"]


def test_versions_of_a_bundle_are_installed_and_rolled_back(board, exported, tmp_path):
    for version in ("1.0", "1.1"):
        path = tmp_path / f"roses-{version}.metanas"
        bundle(exported, path, name="roses", version=version)
    board.put(*tmp_path.glob("*.metanas"))
    said = board.metanas_agent("install", "roses-1.0.metanas")
    assert said.startswith("roses 1.0 is installed in /home/pi/")
    board.metanas_agent("install", "roses-1.1.metanas")
    assert "roses 1.1; also here: 1.0\n" in board.metanas_agent("bundles")
    assert board.metanas_agent("rollback", "roses") == "roses 1.0 is the current version\n"
    (roses,) = [
        each
        for each in json.loads(board.metanas_agent("bundles", "--json"))
        if each["name"] == "roses"
    ]
    assert roses["current"] == "1.0"
    there = board.ssh("sha256sum", f"{roses['folder']}/model.onnx").split()[0]
    assert there == hashlib.sha256(exported.model.read_bytes()).hexdigest()
    assert "roses 1.0 is the oldest version here" in refused(board, "rollback", "roses")


def test_a_bundle_that_was_changed_or_cut_changes_nothing(board, exported, tmp_path):
    bundle(exported, tmp_path / "tulips.metanas", name="tulips", version="1.0")
    whole = (tmp_path / "tulips.metanas").read_bytes()
    place = whole.index(exported.model.read_bytes()) + 100
    changed = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    for name, data in (("changed", changed), ("cut", whole[: len(whole) // 2])):
        (tmp_path / f"{name}.metanas").write_bytes(data)
        board.put(tmp_path / f"{name}.metanas")
        assert f"{name}.metanas is no whole bundle" in refused(board, "install", f"{name}.metanas")
    assert "tulips" not in board.metanas_agent("bundles")


# -- the ARMv6 board


def test_without_onnxruntime_learning_says_what_is_missing(pi0, photos):
    line = refused(pi0, *"learn --support photos --model adapt.onnx -o mine.onnx".split())
    assert line.startswith("metanas-agent: learning and classifying need what is not installed")
    assert line.endswith("run: pip install numpy onnxruntime pillow)")
    assert "onnxruntime" in refused(pi0, *"classify photo.png --classifier mine.onnx".split())


def test_a_program_is_exported_for_the_board_without_a_runtime(laptop, pi0, trained):
    command = ("export", trained.path, "--device", "pi0", "--json")
    written = json.loads(laptop.must(*command, program="metanas"))["native"]
    assert Path(written["program"]).is_file()
    assert written["check"]["by"] == "qemu-arm-static -cpu arm1176"
