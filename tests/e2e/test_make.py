"""The set-up by the Makefile, for a project without dependencies."""

import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.e2e.running import clean_environ

MAKEFILE = Path(__file__).parents[2] / "Makefile"
PROJECT = """
[project]
name = "product"
version = "1"

[tool.setuptools]
py-modules = []
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with the product's Makefile and empty lock files, and with setuptools, so that no index is used."""
    setuptools = tmp_path / "setuptools"
    setuptools.mkdir()
    for package in Path(sysconfig.get_path("purelib")).glob("setuptools*"):
        (setuptools / package.name).symlink_to(package)
    folder = tmp_path / "product"
    folder.mkdir()
    shutil.copy(MAKEFILE, folder)
    (folder / "pyproject.toml").write_text(PROJECT)
    for name in ("requirements.lock", "requirements-test.lock"):
        (folder / name).touch()
    return folder


def _make(project: Path) -> None:
    environ = clean_environ(PYTHONPATH=str(project.parent / "setuptools"))
    command = ["/usr/bin/env", "make", f"PYTHON={sys.executable}", "install"]
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_other_packages_stay_installed(project: Path) -> None:
    """When a changed lock file makes the set-up run again, packages that the user has installed stay."""
    _make(project)
    (packages,) = project.glob(".venv/lib/python*/site-packages")
    beside = packages / "beside-1.dist-info"  # as pip installs it, so that pip could uninstall it
    beside.mkdir()
    (beside / "METADATA").write_text("Metadata-Version: 2.1\nName: beside\nVersion: 1\n")
    (beside / "INSTALLER").write_text("pip\n")
    (beside / "RECORD").write_text("".join(f"{beside.name}/{name},,\n" for name in ("METADATA", "INSTALLER", "RECORD")))
    for name in ("requirements.lock", "requirements-test.lock"):
        (project / name).write_text("# changed\n")
    _make(project)
    assert {"beside", "product"} <= {each.name for each in distributions(path=[str(packages)])}
