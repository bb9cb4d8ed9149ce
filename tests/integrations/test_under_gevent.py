"""All tests of the integrations in a process that gevent has patched, as gunicorn's worker is."""

import os
import subprocess
import sys
from pathlib import Path

_RUN = "from gevent import monkey; monkey.patch_all(); import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
_HERE = Path(__file__).parent


def test_under_gevent() -> None:
    """The tests of the integrations, and those of under_gevent.py, pass in a patched process."""
    # The handlers' processes use gevent in either case.
    others = sorted(set(_HERE.glob("test_*.py")) - {Path(__file__), _HERE / "test_handling.py"})
    options = ["-n0", "-q", "-p", "no:cacheprovider"]
    command = [sys.executable, "-c", _RUN, *options, str(_HERE / "under_gevent.py"), *map(str, others)]
    environ = os.environ | {"HYPOTHESIS_PROFILE": "short"}  # the full number of examples ran without gevent
    done = subprocess.run(
        command, cwd=_HERE.parents[1], env=environ, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
