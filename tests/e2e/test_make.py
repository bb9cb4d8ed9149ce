"""The Makefile's set-up, for a project without dependencies: what it installs, and what it leaves alone."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.e2e.running import clean_environ

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PROJECT = """
[project]
name = "{name}"
version = "1"

[tool.setuptools]
py-modules = []
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the product's Makefile and empty locks, and beside it setuptools: no index is asked."""
    setuptools = tmp_path / "setuptools"
    setuptools.mkdir()
    for package in Path(sysconfig.get_path("purelib")).glob("setuptools*"):
        (setuptools / package.name).symlink_to(package)
    folder = tmp_path / "product"
    folder.mkdir()
    shutil.copy(MAKEFILE, folder)
    (folder / "pyproject.toml").write_text(PROJECT.format(name="product"))
    for name in ("requirements.lock", "requirements-test.lock"):
        (folder / name).touch()
    return folder


def _run(folder: Path, *command: str | Path) -> str:
    environ = clean_environ(PYTHONPATH=str(folder.parent / "setuptools"))
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _make(project: Path) -> None:
    _run(project, "make", f"PYTHON={sys.executable}", "install")


def test_what_was_installed_beside_stays(project: Path) -> None:
    """A handler's dependency is there still after the set-up has run again, because a lock has changed."""
    _make(project)
    beside = project.parent / "beside"
    beside.mkdir()
    (beside / "pyproject.toml").write_text(PROJECT.format(name="beside"))
    pip = project / ".venv" / "bin" / "pip"
    _run(project, pip, "install", "--no-index", "--no-build-isolation", "--no-deps", beside)
    for name in ("requirements.lock", "requirements-test.lock"):
        (project / name).write_text("# changed\n")
    _make(project)
    assert {"beside", "product"} <= {line.split()[0] for line in _run(project, pip, "list").splitlines()}
