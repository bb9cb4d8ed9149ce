"""The lock files have exactly the packages that are needed, and name no registry."""

import json
import re
from pathlib import Path

import pytest

from tests.architecture.lock import locks as written_locks

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def locks() -> dict[str, str]:
    """The content of each lock file as `make lock` would write it now."""
    return written_locks()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-test.lock"])
def test_a_lock_file_matches_the_installed_packages(locks: dict[str, str], name: str) -> None:
    """The installed versions are the locked ones, and a lock file has what any machine needs, and no more."""
    assert (ROOT / name).read_text(encoding="utf-8") == locks[name], "run `make lock`"


def test_no_test_tool_is_installed_with_the_router(locks: dict[str, str]) -> None:
    """Neither `make run` nor `pip install` installs a test tool, a linter or a type checker."""
    runtime = locks["requirements.lock"]
    tools = re.compile(r"^(pytest|hypothesis|mypy|ruff|import-linter|jsonschema|types-.*)\b", re.MULTILINE)
    assert not tools.findall(runtime)


def test_node_lock_names_no_registry() -> None:
    """`npm ci` installs the locked versions, checked by their hashes, from the machine's registry."""
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
