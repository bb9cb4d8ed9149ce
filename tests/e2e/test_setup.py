"""The set-up of `make run` and `make test` on a fresh machine: its progress, and its errors."""

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock")
PACKAGES, MORE = ((ROOT / name).read_text().count("==") for name in LOCKS)
# Fakes of Python and pip, which would take a minute: this Python makes a pip that prints what pip prints.
_PYTHON = """#!/bin/sh
case "$*" in *"venv .venv") mkdir -p .venv/bin && cp pip .venv/bin/pip;; esac
"""
_PIP = """#!/bin/sh
for last; do :; done
case "$last" in
*.lock)
    echo "WARNING: a cache is not writable" >&2
    grep == "$last" | sed 's/^/Collecting /; s/$/ (from a lock)/; 1s/Collecting/Processing/'
    [ -e broken ] && { echo "ERROR: no such package" >&2; exit 3; }
    echo "Installing collected packages: all of them";;
esac
"""

Make = Callable[[], subprocess.CompletedProcess[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a fresh clone that make reads."""
    for name in ("Makefile", *LOCKS, "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for name, text in (("python", _PYTHON), ("pip", _PIP)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def _make(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/env", "make", "install", f"PYTHON={folder / 'python'}"]
    # Without these, a make under `make test` prints that it is a child.
    environment = {
        name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=30)


def _counted(packages: int) -> list[str]:
    tens = [f"  {n} of {packages} packages" for n in range(10, packages + 1, 10)]
    return [*tens, f"  {packages} of {packages} packages downloaded; installing them takes as long again"]


def test_the_set_up_prints_its_progress(folder: Path) -> None:
    """Without a terminal there is a line for every tenth package; a second `make install` sets nothing up."""
    first = _make(folder)
    lines = first.stdout.splitlines()
    assert lines == [
        "Setting up in .venv, once; it takes about a minute.",
        *_counted(PACKAGES),
        "Installing the dependencies of the tests.",
        *_counted(MORE),
    ]
    assert first.stderr == ""
    assert "Setting up" not in _make(folder).stdout


def test_a_terminal_shows_the_progress_in_one_line(folder: Path) -> None:
    """On a terminal the counter of packages is rewritten in place."""
    ours, theirs = pty.openpty()
    command = ["/usr/bin/env", "make", "install", f"PYTHON={folder / 'python'}"]
    subprocess.run(command, cwd=folder, stdout=theirs, check=True, timeout=30)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert f"\r\x1b[K  {PACKAGES - 1} of {PACKAGES} packages\r\x1b[K  {PACKAGES} of {PACKAGES} packages" in shown


def test_a_failed_set_up_shows_the_error_and_can_be_repeated(folder: Path) -> None:
    """If pip fails, its output is shown and make fails; the next make starts the set-up again."""
    (folder / "broken").touch()
    failed = _make(folder)
    assert failed.returncode != 0
    assert "ERROR: no such package" in failed.stderr
    (folder / "broken").unlink()
    assert _make(folder).returncode == 0
