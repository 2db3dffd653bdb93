"""Ctrl-C while a command still loads its libraries: one line and status 130, no traceback."""

import os
import subprocess
import sys

import pytest

from clipnb.cli import STOPPED

# Stands in the place of torch: Ctrl-C comes while torch is imported.
INTERRUPTED = """
import signal
print("torch begins", flush=True)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
signal.raise_signal(signal.SIGINT)
raise SystemExit("Ctrl-C had no effect.")
"""
SCRIPT = "import sys; from clipnb.cli import main; sys.exit(main())"  # as pip writes it


@pytest.mark.parametrize(
    "start, command",
    [(["-m", "clipnb"], "runs"), (["-c", SCRIPT], "search dog")],
    ids=["module", "script"],
)
def test_ctrl_c_while_torch_loads_is_told_in_a_line(start, command, tmp_path):
    (tmp_path / "torch.py").write_text(INTERRUPTED)
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, *start, *command.split()],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert (done.returncode, done.stdout) == (STOPPED, "torch begins\n")
    assert done.stderr == "clipnb: stopped by Ctrl-C.\n"
