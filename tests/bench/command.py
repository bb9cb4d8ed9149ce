"""Starts the benchmark as `make bench` does."""

import subprocess
import sys
from pathlib import Path

from tests.e2e.running import NO_AUTHORITIES, clean_environ

ROOT = Path(__file__).parents[2]


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the benchmark to its end, and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env=clean_environ(**NO_AUTHORITIES),
        capture_output=True,
        text=True,
        check=False,
    )
