"""Real workers, as the agent has them: asked, starved, killed and left alone."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
import zipapp
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest

from metanas_agent.child import Worker
from metanas_agent.errors import MeasurementFailedError, WorkerDiedError
from metanas_agent.layers import ConvLayer, EmptyLayer
from metanas_agent.messages import Done, Error, Measure, Result, Row, RunModel
from metanas_agent.timer import TimerSettings
from metanas_agent.wire import Tensor
from support.agent_process import children, is_running, wait_for
from support.naive_programs import NaivePrograms

QUICK = TimerSettings(budget_ms=2.0, min_samples=6, interval=0.5, sample_ms=0.05)
SMALL = ConvLayer(2, 6, 6, out_channels=3, kernel=3)
ENDLESS_S = 60.0


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    return NaivePrograms(tmp_path_factory.mktemp("programs"))


def measure(*layers, runtime="native"):
    return Measure(layers=layers, settings=QUICK, runtime=runtime)


def run_model(images, sha256="ab" * 32):
    inputs = Tensor(images.tobytes(), images.shape)
    return RunModel(model=b"", inputs=inputs, settings=QUICK, runtime="native", artifact=sha256)


def replies(request, **options):
    """Everything that a worker answers to one request."""

    async def ask():
        answers = []
        async with Worker(**options) as worker:
            await worker.send(request)
            while not answers or isinstance(answers[-1], Row):
                answers.append(await worker.receive(limit_s=ENDLESS_S))
        return answers

    return asyncio.run(ask())


def with_worker(use, request=None, **options):
    """Start a worker, ask it something, and use it: `await use(worker, its process id)`."""

    async def main():
        before = children(os.getpid())
        async with Worker(**options) as worker:
            (pid,) = set(children(os.getpid())) - set(before)
            if request:
                await worker.send(request)
            return await use(worker, pid)

    return asyncio.run(main())


async def program_of(pid):
    """Process id of the program that a worker started, once it has."""
    while not (found := children(pid)):
        await asyncio.sleep(0.01)
    return found[-1]


def test_a_program_measures_layers(programs):
    layers = (SMALL, EmptyLayer(4, 4, 4))
    *rows, done = replies(measure(*layers), artifact=programs("layers"))
    assert [row.measurement.key for row in rows] == [layer.key for layer in layers]
    assert {row.measurement.runtime for row in rows} == {"native"}
    assert {row.measurement.runtime_version for row in rows} == {"1 test layers"}
    assert isinstance(done, Done)


def test_a_program_runs_a_model(programs):
    images = np.ones((2, 2, 3, 3), np.float32)
    (result,) = replies(run_model(images), artifact=programs("network"))
    assert isinstance(result, Result)
    expected = [sum((o + i) % 5 - 2 for i in range(18)) for o in range(4)]
    assert np.frombuffer(result.outputs.data, "<f4").tolist() == expected * 2
    assert result.latency.key == "ab" * 32
    assert result.latency.samples >= QUICK.min_samples


@pytest.mark.parametrize(("value", "source"), [("1", "emulated"), ("0", "measured")])
def test_rows_of_an_emulator_say_so(programs, monkeypatch, value, source):
    monkeypatch.setenv("METANAS_EMULATED", value)
    row, _ = replies(measure(SMALL), artifact=programs("layers"))
    assert row.measurement.source == source


@pytest.mark.parametrize(
    ("name", "words"),
    [("traps", "the program died: SIGILL"), ("rubbish", "the program answered rubbish: 'Hello")],
)
def test_a_program_that_misbehaves_is_an_answer(programs, name, words):
    (error,) = replies(measure(SMALL), artifact=programs(name))
    assert isinstance(error, Error)
    assert error.code == "measurement-failed"
    assert error.what.startswith(words)


def test_without_a_program_there_is_an_answer():
    (error,) = replies(measure(SMALL))
    assert error.code == "runtime-unavailable"


def test_an_unknown_accelerator_is_an_answer():
    (error,) = replies(measure(SMALL, runtime="onnx"), accelerator="cuda")
    assert "the runtime onnx runs one image at a time on the CPU" in error.what


def test_a_batch_is_measured_as_asked():
    settings = replace(QUICK, batch=4)
    row, _ = replies(Measure(layers=(SMALL,), settings=settings, runtime="torch"))
    assert row.measurement.runtime_version.endswith(" batch 4")


@pytest.mark.parametrize("runtime", ["onnx", "torch", "native"])
def test_cold_caches_are_measured_by_every_runtime(programs, runtime):
    request = Measure(layers=(SMALL,), settings=replace(QUICK, cache="cold"), runtime=runtime)
    row, _ = replies(request, artifact=programs("layers"))
    assert row.measurement.runtime_version.endswith(" cold cache")
    assert row.measurement.repeats == 1


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
@pytest.mark.parametrize("runtime", ["onnx", "torch"])
def test_threads_are_as_many_as_asked(runtime):
    settings = replace(QUICK, threads=2)
    row, _ = replies(Measure(layers=(SMALL,), settings=settings, runtime=runtime))
    assert row.measurement.runtime_version.endswith(" 2 threads")


def test_a_program_has_one_thread(programs):
    request = Measure(
        layers=(SMALL,), settings=replace(QUICK, threads=2, core=None), runtime="native"
    )
    (error,) = replies(request, artifact=programs("layers"))
    assert (error.code, error.what) == (
        "runtime-unavailable",
        "the runtime native uses one thread, not 2",
    )


def test_caches_of_an_accelerator_are_not_made_cold():
    request = Measure(layers=(SMALL,), settings=replace(QUICK, cache="cold"), runtime="torch")
    (error,) = replies(request, accelerator="cuda")
    assert error.what == "caches of cuda cannot be made cold"


def test_a_program_that_never_ends_is_stopped_with_its_worker(programs):
    async def use(worker, pid):
        program = await program_of(pid)
        with pytest.raises(MeasurementFailedError, match="took longer than"):
            await worker.receive(limit_s=0.3)
        return pid, program

    pid, program = with_worker(use, measure(SMALL), artifact=programs("spins"))
    assert not is_running(pid)
    wait_for(lambda: not is_running(program))


def test_a_program_that_never_ends_does_not_outlive_an_agent_that_was_killed(programs):
    async def use(worker, pid):
        program = await program_of(pid)
        worker._stdin.close()  # what the system does for an agent that is killed
        folder = worker_folder(pid)
        await worker._process.wait()
        return program, folder

    program, folder = with_worker(use, measure(SMALL), artifact=programs("spins"))
    wait_for(lambda: not is_running(program))
    assert not folder.exists()


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (signal.SIGKILL, "most likely out of memory"),
        (signal.SIGILL, "it was built for another processor"),
        (signal.SIGABRT, "it may have run out of memory"),
    ],
)
def test_a_worker_that_dies_says_how(number, hint):
    async def use(worker, pid):
        os.kill(pid, number)
        with pytest.raises(WorkerDiedError, match=f"^worker died: {number.name}") as death:
            await worker.receive(limit_s=ENDLESS_S)
        assert death.value.how == number.name
        assert death.value.hint.startswith(hint)

    with_worker(use)


def test_a_worker_without_memory_says_so_and_goes_on(programs):
    """A hard limit on its address space, as the smallest boards have it by nature."""
    large = EmptyLayer(64, 1024, 1024)

    async def use(worker, pid):
        await worker.send(measure(SMALL, runtime="onnx"))
        assert isinstance(await worker.receive(limit_s=ENDLESS_S), Row)
        assert isinstance(await worker.receive(limit_s=ENDLESS_S), Done)
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + 100 * 1024**2
        resource.prlimit(pid, resource.RLIMIT_AS, (most, most))
        await worker.send(measure(large, runtime="onnx"))
        error = await worker.receive(limit_s=ENDLESS_S)
        assert error.code == "measurement-failed"
        assert error.what.startswith(f"{large.key}: ")
        await worker.send(measure(SMALL, runtime="onnx"))
        assert isinstance(await worker.receive(limit_s=ENDLESS_S), Row)

    with_worker(use)


def worker_folder(pid):
    return Path(f"/proc/{pid}/cwd").readlink()


def test_a_worker_is_alone(monkeypatch):
    """An empty folder, no secrets, a process group, first to die."""
    monkeypatch.setenv("SSH_AUTH_SOCK", "/secret")
    monkeypatch.setenv("TOKEN", "secret")

    async def use(worker, pid):
        await worker.send(measure(SMALL, runtime="onnx"))
        assert isinstance(await worker.receive(limit_s=ENDLESS_S), Row)
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        folder = worker_folder(pid)
        assert b"PATH=" in environment
        assert b"secret" not in environment
        assert list(folder.iterdir()) == []
        assert os.getpgid(pid) == os.getsid(pid) == pid
        assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "1000\n"
        return folder

    assert not with_worker(use).exists()


def test_a_worker_that_cannot_be_started_is_an_answer(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(MeasurementFailedError, match="cannot start a worker: No such file"):
        replies(measure(SMALL))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("metanas_agent.child._COMMAND", (str(tmp_path / "no-python"),))
    with pytest.raises(MeasurementFailedError, match="cannot start a worker: No such file"):
        replies(measure(SMALL))
    assert list(tmp_path.iterdir()) == []


def test_the_worker_of_a_one_file_agent_comes_out_of_that_file(tmp_path):
    """Run by a Python that has no metanas installed."""
    bare_python = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    if not bare_python.exists() or sys.prefix == sys.base_prefix:
        pytest.skip("needs a virtual environment made by another Python")
    for name in ("metanas_agent", "msgpack"):
        source = Path(find_spec(name).origin).parent
        copytree(source, tmp_path / "agent" / name, ignore=ignore_patterns("*.so", "__pycache__"))
    zipapp.create_archive(tmp_path / "agent", tmp_path / "agent.pyz", main="metanas_agent.cli:main")
    run = subprocess.run(
        [bare_python, "agent.pyz", "info", "--json"],
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "PYTHONNOUSERSITE": "1"},
    )
    values = json.loads(run.stdout)
    assert values["runtimes"] == {"native": "1"}
    assert values["unavailable"].keys() == {"onnx", "torch"}
    assert "No module named" in values["unavailable"]["onnx"]
    assert run.stderr == b""
