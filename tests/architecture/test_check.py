"""`make check` ends within a minute because nothing that it runs starts a server."""

import ast
from pathlib import Path

import pytest

from tests.architecture.blocks import ROOT

FOLDERS = ("tests/core", "tests/architecture")
# Servers are started by these fixtures of tests/conftest.py, and by these modules.
FIXTURES = {"valkey", "redis_url", "spare_valkey"}
SERVERS = (
    "tests.valkey",
    "tests.bench",
    "tests.browser",
    "tests.e2e",
    "tests.integrations",
    "tests.store",
    "tests.web",
)
FILES = sorted(file for folder in FOLDERS for file in (ROOT / folder).glob("*.py"))


def test_make_check_runs_these_folders() -> None:
    """`make check` runs the folders that this file checks."""
    assert f"pytest -q {' '.join(FOLDERS)}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_server_is_started(file: Path) -> None:
    """No test of these folders uses a store's fixture, or imports a module that starts servers."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    assert not [node.arg for node in nodes if isinstance(node, ast.arg) and node.arg in FIXTURES]
    assert not [node.module for node in nodes if isinstance(node, ast.ImportFrom) and _starts_one(node.module or "")]


def _starts_one(module: str) -> bool:
    return f"{module}.".startswith(tuple(f"{each}." for each in SERVERS))
