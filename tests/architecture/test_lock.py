"""The locks say exactly what is needed, and name no registry."""

import json
import re
from pathlib import Path

import pytest

from tests.architecture.lock import locks

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("name", "text"), locks().items())
def test_a_lock_is_what_is_installed(name: str, text: str) -> None:
    """Tests run on exactly the locked versions, and a lock holds what its tools need on any machine, and no more."""
    assert (ROOT / name).read_text(encoding="utf-8") == text, "run `make lock`"


def test_no_tool_of_the_tests_is_installed_to_run() -> None:
    """Neither `make run` nor `pip install` brings a test tool, a linter or a type checker."""
    runtime = locks()["requirements.lock"]
    tools = re.compile(r"^(pytest|hypothesis|mypy|ruff|import-linter|jsonschema|types-.*)\b", re.MULTILINE)
    assert not tools.findall(runtime)


def test_node_lock_names_no_registry() -> None:
    """`npm ci` takes the locked versions, checked by their hashes, from whatever registry the machine uses."""
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
