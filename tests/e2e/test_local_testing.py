"""docs/local-testing.md, played from its first command to its last, as somebody new would type them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.page import Player, steps
from tests.e2e.running import clean_environ, free_port

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "local-testing.md"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that is like that of a fresh clone, set up: the page's files and data stay in it."""
    for name in ("Makefile", "router", "config", "wsgi.py", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    return tmp_path


@pytest.fixture
def player(folder: Path) -> Iterator[Player]:
    """What plays the page."""
    router, bot = free_port(), free_port()
    player = Player(
        folder,
        clean_environ(ROUTER_BIND=f"127.0.0.1:{router}", ROUTER_WORKERS="1"),
        replacements={
            "127.0.0.1:8000": f"127.0.0.1:{router}",
            "127.0.0.1:5000": f"127.0.0.1:{bot}",
            "port=5000": f"port={bot}",
        },
        commands={"make run": "make -s -o .venv/.installed run"},
    )
    try:
        yield player
    finally:
        player.close()


def test_every_command_of_the_page_does_what_the_page_shows(player: Player) -> None:
    """From `make run` to the end: each prints what is under it, ids and times aside."""
    for step in steps(PAGE.read_text()):
        player.play(step)
