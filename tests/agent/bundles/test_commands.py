import json
import subprocess
import sys

import pytest

from support.prototypes import COLOURS, write_models, write_pictures


@pytest.fixture
def metanas_agent(state):
    """The command, with the test's state folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "metanas_agent", *map(str, arguments), "--state", state.root],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    return run


def test_install_list_and_roll_back(metanas_agent, make_bundle, state):
    assert metanas_agent("bundles").stdout == "no bundle is installed\n"
    for version in ("1.0", "2.0"):
        done = metanas_agent("install", make_bundle(version))
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"flowers {version} is installed in {state.bundles}")
    assert metanas_agent("bundles").stdout == "flowers 2.0; also here: 1.0\n"
    done = metanas_agent("rollback", "flowers")
    assert (done.returncode, done.stdout) == (0, "flowers 1.0 is the current version\n")
    (bundle,) = json.loads(metanas_agent("bundles", "--json").stdout)
    assert (bundle["current"], bundle["versions"]) == ("1.0", ["1.0", "2.0"])
    assert bundle["card"] == {"licence": "MIT"}


def test_what_cannot_work_is_one_clear_line(metanas_agent, make_bundle, tmp_path):
    path = make_bundle("1.0")
    path.write_bytes(path.read_bytes()[:-7])
    for arguments, words in (
        (("install", path), "is no whole bundle"),
        (("install", tmp_path / "absent"), "No such file or directory"),
        (("install", tmp_path), "Is a directory"),
        (("rollback", "flowers"), "no bundle 'flowers' is installed"),
    ):
        done = metanas_agent(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert words in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_bundle_is_learned_with_and_classifies(metanas_agent, make_bundle, tmp_path):
    write_models(tmp_path / "export")
    files = {path.name: path.read_bytes() for path in (tmp_path / "export").iterdir()}
    metanas_agent("install", make_bundle("1.0", files=files))
    support, classifier = write_pictures(tmp_path / "support"), tmp_path / "classifier.onnx"
    done = metanas_agent("learn", "--support", support, "--bundle", "flowers", "-o", classifier)
    assert (done.returncode, done.stderr) == (0, "")
    picture = support / "rust" / "1.png"
    done = metanas_agent("classify", picture, "--classifier", classifier, "--json")
    assert json.loads(done.stdout)[0]["label"] == "rust"
    done = metanas_agent("classify", picture, "--bundle", "flowers", "--json")
    (answer,) = json.loads(done.stdout)
    assert answer["probabilities"].keys() == set("abc")  # what the bundle's model was made for
    assert set(COLOURS).isdisjoint(answer["probabilities"])


def test_a_bundle_that_cannot_learn_says_so(metanas_agent, make_bundle, tmp_path):
    metanas_agent("install", make_bundle("1.0"))
    support = write_pictures(tmp_path / "support")
    done = metanas_agent("learn", "--support", support, "--bundle", "flowers", "-o", "unused")
    assert done.returncode == 1
    assert "the bundle flowers has no adapt.onnx, which learn needs" in done.stderr
    assert "metanas export RUN, then metanas bundle RUN" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_that_no_bundle_has_is_told_what_there_is(metanas_agent, make_bundle):
    classify = ("classify", "x.png", "--bundle", "mine")
    said = metanas_agent(*classify).stderr
    assert "there is: none (install it: metanas-agent install" in said
    metanas_agent("install", make_bundle("1.0"))
    said = metanas_agent(*classify).stderr
    assert "no bundle 'mine' is installed; there is: flowers (name one of these" in said
