"""The lock files have exactly the packages that are needed, and name no registry."""

import json
import re
from pathlib import Path

import pytest

from tests.architecture.lock import locks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "text"), locks().items())
def test_a_lock_file_matches_the_installed_packages(name: str, text: str) -> None:
    """The installed versions are the locked ones, and a lock file has what any machine needs, and no more."""
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run `make lock`"


def test_no_test_tool_is_installed_with_the_router() -> None:
    """Neither `make run` nor `pip install` installs a test tool, a linter or a type checker."""
    runtime = locks()["requirements.lock"]
    tools = re.compile(r"^(pytest|hypothesis|mypy|ruff|import-linter|jsonschema|types-.*)\b", re.MULTILINE)
    assert not tools.findall(runtime)


def test_node_lock_names_no_registry() -> None:
    """`npm ci` installs the locked versions, checked by their hashes, from the machine's registry."""
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
