"""The lock says exactly what is installed, and the Node lock names no registry."""

import json
import re
from importlib.metadata import distributions
from pathlib import Path

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


def test_node_lock_names_no_registry() -> None:
    """`npm ci` takes the locked versions, checked by their hashes, from whatever registry the machine uses."""
    packages = json.loads((ROOT / "tests" / "node" / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert not [name for name, package in packages.items() if name and "integrity" not in package]
