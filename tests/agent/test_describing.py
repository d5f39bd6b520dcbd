import asyncio

import pytest

from metanas_agent.describing import describe
from metanas_agent.system import System


def described(*runtimes, **options):
    return asyncio.run(describe(runtimes, limit_s=60.0, **options))


def test_programs_need_no_trial():
    description = described("native")
    assert description.runtimes == {"native": "1"}
    assert description.unavailable == {}
    assert description.abi == System().abi()


def test_an_accelerator_that_a_runtime_does_not_know_makes_it_unavailable():
    description = described("native", "onnx", accelerator="cuda")
    assert description.runtimes == {}
    assert description.unavailable.keys() == {"native", "onnx"}
    assert "on the CPU, not 1 on cuda" in description.unavailable["onnx"]


@pytest.mark.parametrize(("value", "emulated"), [("1", True), ("0", False)])
def test_an_emulator_is_told(monkeypatch, value, emulated):
    monkeypatch.setenv("METANAS_EMULATED", value)
    assert described().emulated is emulated


def test_each_runtime_says_in_what_it_has_run_a_layer():
    description = described("native", "onnx", "torch")
    assert description.dtypes == {
        "native": "float32",
        "onnx": "float32 int8",
        "torch": "float32",
    }
