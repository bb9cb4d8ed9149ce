"""Nothing that can be saved as a Match hangs, bloats or crashes a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Measured: 4 ms for the worst regular expression over the worst text; four times that, for a slower or busier machine.
SLOWEST = 0.016
SAVING = 0.15
MEGABYTES = 60


@pytest.mark.parametrize("seed", [1, 2])
def test_no_expression_is_a_bomb(seed: int) -> None:
    """What can be saved answers in milliseconds over long texts and a form of 128 KB, in 256 KB of stack.

    Whatever fails, to be saved or for a message, fails as it should, and the library reads each word as it was judged:
    anything else ends the process with a traceback.
    """
    command = [sys.executable, "-m", "tests.core.expression_bombs", str(seed), "600"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    seen = json.loads(done.stdout)
    assert seen["saved"] > 50
    assert seen["slowest"][0] < SLOWEST, seen["slowest"]
    assert seen["saving"] < SAVING
    assert seen["megabytes"] < MEGABYTES
