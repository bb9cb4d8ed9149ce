"""Runs all commands of docs/handlers.md in their order."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.page import Player, steps
from tests.e2e.running import ROUTER, clean_environ
from tests.ports import free_port

PAGE = Path(__file__).parents[2] / "docs" / "handlers.md"


@pytest.fixture
def player(tmp_path: Path) -> Iterator[Player]:
    """The page's player in an empty folder, with the installed `router` command."""
    environ = clean_environ(ROUTER_BIND=f"127.0.0.1:{free_port()}", ROUTER_WORKERS="1")
    environ["PATH"] = f"{ROUTER.parent}:{environ['PATH']}"
    player = Player(tmp_path, environ, replacements={})
    try:
        yield player
    finally:
        player.close()


def test_every_command_prints_what_the_page_shows(player: Player) -> None:
    """Each command of docs/handlers.md prints the text that the page has under it."""
    for step in steps(PAGE.read_text()):
        player.play(step)
