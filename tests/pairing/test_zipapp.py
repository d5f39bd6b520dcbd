from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from metanas.deploy.bundle import write_bundle
from metanas.pairing.zipapp import AgentFile, build_agent_pyz
from support.pythons import other_python

LIMIT_BYTES = 1_500_000
PYTHON = str(Path(sys.executable).resolve())


@pytest.fixture(scope="module")
def agent() -> AgentFile:
    return build_agent_pyz()


@pytest.fixture(scope="module")
def path(agent: AgentFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pyz") / "agent.pyz"
    path.write_bytes(agent.data)
    return path


def bare(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python without site-packages in an empty environment."""
    command = ["env", "-i", PYTHON, "-S", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_the_same_inputs_give_the_same_file(agent: AgentFile) -> None:
    again = build_agent_pyz()
    assert again.data == agent.data
    assert again.sha256 == agent.sha256


def test_it_is_small_and_holds_no_compiled_part(agent: AgentFile) -> None:
    assert len(agent.data) <= LIMIT_BYTES
    names = zipfile.ZipFile(io.BytesIO(agent.data)).namelist()
    assert all(name.endswith(".py") for name in names if not name.startswith("licenses/"))
    assert {name.split("/")[0] for name in names} == {
        *("__main__.py", "ifaddr", "licenses", "metanas_agent", "msgpack", "zeroconf")
    }


def test_others_work_goes_with_its_terms(agent: AgentFile) -> None:
    names = zipfile.ZipFile(io.BytesIO(agent.data)).namelist()
    for library in ("ifaddr", "msgpack", "zeroconf"):
        assert any(name.startswith(f"licenses/{library}/") for name in names)


def test_it_runs_in_an_empty_environment(path: Path, tmp_path: Path) -> None:
    done = bare(str(path), "--version", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("metanas-agent ")


def test_it_says_what_it_can_run(path: Path, tmp_path: Path) -> None:
    """Which means that its worker starts from within the file too."""
    done = bare(str(path), "info", "--json", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert "onnx" in said["unavailable"]  # without site-packages there is none
    assert "onnxruntime" in said["unavailable"]["onnx"]


@pytest.mark.parametrize("options", [["-S"], ["-S", "-I"]])
def test_it_serves(path: Path, tmp_path: Path, options: list[str]) -> None:
    command = ["env", "-i", PYTHON, *options, str(path), "serve", "--port", "0"]
    with subprocess.Popen(
        [*command, "--state", str(tmp_path / "state")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        process.terminate()
        _, complaints = process.communicate()
    match = re.fullmatch(r"metanas-agent \S+ listening on 127\.0\.0\.1:\d+\n", line)
    assert match, (line, complaints)
    assert (process.returncode, complaints) == (0, "")


def test_it_imports_nothing_that_is_installed(path: Path, tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(path)!r})\n"
        "import metanas_agent.cli, metanas_agent.worker, msgpack, zeroconf.asyncio\n"
        "print(*{module.__file__ for module in sys.modules.values()"
        " if getattr(module, '__file__', None)}, sep='\\n')"
    )
    done = bare("-c", script, folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    library = str(Path(json.__file__).parents[1])
    strangers = [
        file for file in done.stdout.split() if not file.startswith((f"{path}/", f"{library}/"))
    ]
    assert strangers == []
    assert not [file for file in done.stdout.split() if "site-packages" in file]


@pytest.mark.parametrize("version", ["3.8", "3.9", "3.10"])
def test_an_older_python_is_told_so(path: Path, version: str) -> None:
    old = other_python(version)
    done = subprocess.run(
        [old, "-S", str(path), "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"metanas-agent needs Python 3.11 or newer, this is {version}\n"


def test_it_installs_bundles(path: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", {"model.onnx": b"weights"}, name="flowers", version="1.0")
    for arguments, words in (
        (("install", "bundle"), "flowers 1.0 is installed in "),
        (("bundles",), "flowers 1.0\n"),
    ):
        done = bare(str(path), *arguments, "--state", "state", folder=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(words)


def test_it_says_what_learning_lacks(path: Path, tmp_path: Path) -> None:
    arguments = ("learn", "--support", "images", "--bundle", "flowers", "-o", "classifier")
    done = bare(str(path), *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("run: pip install numpy onnxruntime pillow)\n")
    assert done.stderr.count("\n") == 1
