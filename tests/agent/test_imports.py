import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "onnx", "onnxruntime", "PIL", "metanas")
LIGHT = (
    *("metanas_agent", "metanas_agent.cli", "metanas_agent.server", "metanas_agent.protocol"),
    *("metanas_agent.worker", "metanas_agent.layers", "metanas_agent.measurement"),
    *("metanas_agent.bundles", "metanas_agent.learning", "metanas_agent.learning.onnx_file"),
)


def python(program):
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, check=False, text=True)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_the_agent_is_light(module):
    program = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    run = python(program)
    assert run.stdout == "[]\n", run.stderr


def test_the_agent_needs_nothing_but_its_own_dependencies():
    """Every module that is loaded is the agent's, msgpack's or the standard library's."""
    program = (
        "import sys; before = set(sys.modules); import metanas_agent.cli, metanas_agent.worker\n"
        "loaded = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "loaded = {name for name in loaded if 'cython' not in name}  # of msgpack\n"
        "print(sorted(loaded - set(sys.stdlib_module_names)))"
    )
    run = python(program)
    assert run.stdout == "['metanas_agent', 'msgpack']\n", run.stderr
