import json
import os
import subprocess
import sys

import pytest

from support.prototypes import write_pictures


def test_learn_and_classify(metanas_agent, graph, support, tmp_path):
    run = metanas_agent("learn", "--support", support, "--model", graph, "-o", "c.onnx")
    assert (run.returncode, run.stderr) == (0, "")
    assert "c.onnx: 3 classes (moss, rust, sky) learned from 9 images in " in run.stdout
    assert "9 of these are put into their class" in run.stdout
    fresh = write_pictures(tmp_path / "fresh", count=1, seed=1)
    images = sorted(fresh.glob("*/*.png"))
    run = metanas_agent("classify", *images, "--classifier", "c.onnx")
    assert (run.returncode, run.stderr) == (0, "")
    assert [line.split(": ")[1].split(" ")[0] for line in run.stdout.splitlines()] == [
        *("moss", "rust", "sky")
    ]


def test_for_scripts(metanas_agent, graph, support):
    run = metanas_agent("learn", "--support", support, "--model", graph, "-o", "c.onnx", "--json")
    values = json.loads(run.stdout)
    assert (values["classifier"], values["images"], values["right"]) == ("c.onnx", 9, 9)
    run = metanas_agent("classify", support / "sky" / "0.png", "--classifier", "c.onnx", "--json")
    (answer,) = json.loads(run.stdout)
    assert answer["label"] == "sky"
    assert answer["image"].endswith("sky/0.png")
    assert answer["probabilities"].keys() == {"moss", "rust", "sky"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("learn", "--support", "nowhere", "--model", "G", "-o", "c"), "nowhere is no folder"),
        (("classify", "nothing.png", "--classifier", "M"), "nothing.png does not exist"),
        (("classify", "x.png", "--classifier", "G"), "a classifier takes one image"),
        (("classify", "x.png", "--classifier", "nothing"), "nothing cannot be read"),
        (("classify", "x.png", "--bundle", "unknown"), "no bundle 'unknown'"),
    ],
)
def test_what_cannot_work_is_one_clear_line(metanas_agent, graph, arguments, words):
    files = {"G": graph, "M": graph.parent / "model.onnx"}
    run = metanas_agent(*[files.get(each, each) for each in arguments])
    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr
    assert run.stderr.count("\n") == 1


def test_what_is_not_installed_is_said_to_be(metanas_agent, graph, support, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no wheel for this processor')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    arguments = ("learn", "--support", support, "--model", graph, "-o", "c.onnx")
    run = metanas_agent(*arguments, env=environment)
    assert run.returncode == 1
    assert "onnxruntime: no wheel for this processor" in run.stderr
    assert "pip install onnxruntime" in run.stderr
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("learn", "--support", "s", "-o", "c"),
        ("learn", "--support", "s", "-o", "c", "--model", "m", "--bundle", "b"),
        ("classify", "--classifier", "c"),
        ("classify", "x.png"),
    ],
)
def test_wrong_usage_is_exit_code_2(metanas_agent, arguments):
    run = metanas_agent(*arguments)
    assert run.returncode == 2
    assert "usage: metanas-agent" in run.stderr


def test_a_full_disk_is_named_and_says_what_to_do(graph, support, tmp_path):
    program = (
        "import resource, sys; from metanas_agent.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); main(sys.argv[1:])"
    )
    arguments = ("learn", "--support", support, "--model", graph, "-o", "c.onnx")
    run = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    said = "metanas-agent: File too large: c.onnx (free some space and run it again)\n"
    assert (run.returncode, run.stderr) == (1, said)
    assert not list(tmp_path.glob("*c.onnx*"))


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("file/c.onnx", "it is a file, not a folder: file (check the path"),
        ("/proc/c.onnx", "No such file or directory: /proc/c.onnx (check the path"),
        ("loop", "Too many levels of symbolic links: loop (check the path"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_clear_line(
    metanas_agent, graph, support, tmp_path, output, words
):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    run = metanas_agent("learn", "--support", support, "--model", graph, "-o", output)
    assert (run.returncode, run.stdout) == (1, "")
    assert words in run.stderr
    assert run.stderr.count("\n") == 1
