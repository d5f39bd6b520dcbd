"""The README's lines are all that a user of an exported file needs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
FILE = "runs/mine/model.onnx"
NOTHING_OF_OURS = "import sys; sys.modules.update(dict.fromkeys(('metanas', 'metanas_agent',"
NOTHING_OF_OURS += " 'torch', 'onnx')))\n"


def test_the_readmes_lines_run_in_plain_onnxruntime(model, tmp_path):
    (code,) = re.findall(rf"```python\n(.*?{re.escape(FILE)}.*?)```", README.read_text(), re.DOTALL)
    lines = [line for line in code.splitlines() if line and not line.startswith("import")]
    assert len(lines) == 6
    (tmp_path / FILE).parent.mkdir(parents=True)
    (tmp_path / FILE).write_bytes(model)
    done = subprocess.run(
        [sys.executable, "-c", NOTHING_OF_OURS + code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in {"A", "B", "C", "D", "É"}
