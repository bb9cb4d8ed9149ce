"""The player of documentation pages: what it compares, and that it fails where a page is wrong."""

from pathlib import Path

import pytest

from tests.e2e.page import Player, steps

PAGE = """
Text.

<!-- file: hello.sh -->
```sh
echo "$GREETING SM0123456789abcdef0123456789abcdef after 12 ms"
```

```console
$ export GREETING=Hello
$ sh hello.sh
Hello SM… after 9 ms
$ echo SM…
SM…
```

<!-- runs in: clock -->
```console
$ sh -c 'trap "echo ended; exit" INT; echo begun; while :; do sleep 0.01; done'
begun
```

<!-- event: bell -->
<!-- ends: clock -->
```console
ended
```
"""


@pytest.fixture
def player(tmp_path: Path) -> Player:
    """A player in a folder of its own."""
    return Player(tmp_path, {"PATH": "/usr/bin:/bin"}, {})


def test_a_page_is_played_as_it_is_read(player: Player) -> None:
    """Files are written, variables kept, commands run here or beside, SIDs found again, events told, Ctrl-C sent."""
    rung: list[str] = []
    player.events = {"bell": lambda: rung.append("bell")}
    found = steps(PAGE)
    assert [step.kind for step in found] == ["file", "run", "run", "run", "start", "event", "end"]
    for step in found:
        player.play(step)
    assert rung == ["bell"]
    assert (player.folder / "output").read_text() == "SM0123456789abcdef0123456789abcdef\n"


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        pytest.param("a\nb", "a\nb", True, id="the same"),
        pytest.param("a\nb", "a", False, id="a line too many"),
        pytest.param("a", "a\nb", False, id="a line too few"),
        pytest.param("a\nx\nb", "a\n...\nb", True, id="any lines"),
        pytest.param("a\nx\nb", "a\n...", True, id="any lines to the end"),
        pytest.param("a\nx\nb", "...\nc\n...", False, id="a line that is not there"),
        pytest.param("a\nb", "b\na", False, id="another order"),
        pytest.param("a   12 ms", "a 9 ms", True, id="times and blanks"),
        pytest.param("took 12 ms", "took 9 attempts", False, id="no time at all"),
        pytest.param("FO" + "a" * 32, "FO…", True, id="a SID"),
        pytest.param("FO" + "a" * 32, "SM…", False, id="another kind of SID"),
        pytest.param("token: abc", "token: …", True, id="the rest of a line"),
        pytest.param("anything", "", False, id="nothing is shown"),
    ],
)
def test_what_differs_is_seen(player: Player, printed: str, shown: str, *, same: bool) -> None:
    """Ids and times aside, a page is what is printed, or it is wrong."""
    assert (player._difference(printed.splitlines(), tuple(shown.splitlines())) == "") is same
