"""The folders to which processes write their metrics."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from router.metric_files import FOLDER, MetricFiles


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files, without a metrics folder in the environment."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv(FOLDER, "")  # so that monkeypatch restores its absence
    monkeypatch.delenv(FOLDER)
    return tmp_path


def _ended() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    return process.pid


def test_only_folders_of_ended_processes_are_removed(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the metrics folder of an ended process is removed; a running one's and other folders stay."""
    living, dead, strange = (
        temp / f"router-metrics-{name}" for name in (f"{os.getppid()}-a", f"{_ended()}-b", "notes")
    )
    for folder in (living, dead, strange):
        folder.mkdir()
    files = MetricFiles.prepare()
    monkeypatch.delenv(FOLDER)
    assert sorted(temp.iterdir()) == sorted([living, strange, files.folder])
    files.remove()
