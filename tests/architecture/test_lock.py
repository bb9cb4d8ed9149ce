"""The lock says exactly what is installed, and the Node lock names no registry."""

import json
import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# What `python -m venv` brings, and the product itself.
_NOT_LOCKED = {"pip", "twilio-message-router"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_lock_is_what_is_installed() -> None:
    """Tests run on exactly the versions of requirements.lock: nothing more, nothing else, nothing unlocked."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = {_normal(name): version for name, version in (line.split("==") for line in lines)}
    installed = {_normal(d.metadata["Name"]): d.version for d in distributions()}
    assert locked == {name: version for name, version in installed.items() if name not in _NOT_LOCKED}


@pytest.mark.parametrize("version", ["3.11.0", "3.11.9"])
def test_lock_holds_all_that_any_python_311_needs(version: str) -> None:
    """Some libraries need more on an older 3.11 (Debian's is 3.11.2): the lock serves every one of them."""
    machine = {"python_full_version": version, "python_version": "3.11"}
    locked = {_normal(line.partition("==")[0]) for line in (ROOT / "requirements.lock").read_text().splitlines()}
    needed = [
        (d.metadata["Name"], requirement.name)
        for d in distributions()
        for requirement in map(Requirement, d.requires or ())
        if requirement.marker is None or requirement.marker.evaluate(machine | {"extra": ""})
    ]
    assert not [(by, name) for by, name in needed if _normal(name) not in locked]


def test_node_lock_names_no_registry() -> None:
    """`npm ci` takes the locked versions, checked by their hashes, from whatever registry the machine uses."""
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
