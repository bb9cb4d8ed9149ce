"""The embedded store's append-only file after a crash: an incomplete end is cut off and kept; nothing else changes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from router.process.append_only import _is_incomplete
from router.process.embedded import EmbeddedStoreError, EmbeddedValkey, ask

FILE = "appendonlydir/appendonly.aof.1.incr.aof"


def command(*words: str) -> bytes:
    """Return a command in the format of the file."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word.encode()) for word in words)


SET = command("SET", "lost", "never answered")
TRANSACTION = command("MULTI") + command("SET", "lost", "1") + command("SET", "lost", "2")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A store that has been used and is stopped."""
    made = EmbeddedValkey.over(tmp_path)
    process = made.start()
    made.wait_until_ready(process)
    for words in ("SET kept 1", "MULTI", "SET also kept", "SET too kept", "EXEC"):
        ask(made.socket_path, words)
    assert ask(made.socket_path, "EXISTS kept") == ":1"
    made.stop(process)
    yield made
    assert made.folder.joinpath(FILE).exists()


def _start_and_check(store: EmbeddedValkey) -> list[str]:
    """Start a store over the file, check that all keys are in it, and stop it; return what it printed."""
    printed: list[str] = []
    process = store.start(printed.append)
    try:
        store.wait_until_ready(process)
        assert ask(store.socket_path, "SET after 1") == "+OK"
        assert ask(store.socket_path, "EXISTS kept also lost after") == ":3"
    finally:
        process.kill()
        process.wait()
    return printed


@pytest.mark.parametrize(
    ("end", "says"),
    [
        pytest.param(bytes(4096), "4,096 bytes of zeros", id="zeros"),
        pytest.param(SET[:-4], f"an incomplete command of {len(SET) - 4} bytes", id="a word cut off"),
        pytest.param(SET[:-1], f"an incomplete command of {len(SET) - 1} bytes", id="its last byte is missing"),
        pytest.param(b"*", "an incomplete command of 1 bytes", id="its first byte"),
        pytest.param(b"*3\r\n$3", "an incomplete command of 6 bytes", id="half a length"),
        pytest.param(
            SET[:-9] + bytes(2**21),
            f"an incomplete command of {len(SET) - 9} bytes and 2,097,152 bytes of zeros",
            id="a word cut off, and zeros",
        ),
        pytest.param(
            TRANSACTION, f"an incomplete command of {len(TRANSACTION)} bytes", id="a transaction without EXEC"
        ),
        pytest.param(
            TRANSACTION[:-3] + bytes(100),
            f"an incomplete command of {len(TRANSACTION) - 3} bytes and 100 bytes of zeros",
            id="a transaction cut off, and zeros",
        ),
    ],
)
def test_an_incomplete_end_is_cut_off_and_kept(store: EmbeddedValkey, end: bytes, says: str) -> None:
    """The store starts with all confirmed writes, reports what it cut off, and keeps that in a copy beside the file."""
    file = store.folder / FILE
    with file.open("ab") as opened:
        opened.write(end)
    (printed,) = _start_and_check(store)
    assert f"{file} ended with {says}, as a crash leaves it" in printed
    (copy,) = store.folder.glob("*.cut-*")
    assert str(copy) in printed
    assert copy.read_bytes() == end
    assert copy.stat().st_mode & 0o777 == 0o600
    assert _start_and_check(store) == [], "nothing is left to cut"


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda whole: whole + b"garbage", id="garbage at the end"),
        pytest.param(lambda whole: whole + b"garbage" + command("SET", "a", "1"), id="garbage before a command"),
        pytest.param(lambda whole: whole + bytes(50) + command("SET", "a", "1"), id="zeros before a command"),
        pytest.param(lambda whole: whole.replace(b"*3\r\n$3", bytes(6), 1), id="zeros in the middle"),
        pytest.param(lambda whole: whole.replace(b"$4\r\nkept", b"$400\r\nkept", 1), id="a wrong length in the middle"),
    ],
)
def test_a_damaged_file_is_not_changed(store: EmbeddedValkey, damage: object) -> None:
    """Damage that no crash causes stops the start; the error names the place and the remedy, and no byte is changed."""
    file = store.folder / FILE
    damaged = damage(file.read_bytes())  # type: ignore[operator]  # pytest knows no types of its parameters
    file.write_bytes(damaged)
    with pytest.raises(EmbeddedStoreError, match=r"cannot be read from byte [0-9]+ of .* restore .* from a backup"):
        store.start()
    assert file.read_bytes() == damaged
    assert not list(store.folder.glob("*.cut-*"))


def test_ten_copies_are_kept(store: EmbeddedValkey) -> None:
    """After many crashes ten copies are kept, the newest among them."""
    for number in range(12):
        (store.folder / f"old.cut-{number}").write_bytes(b"")
    with (store.folder / FILE).open("ab") as opened:
        opened.write(SET[:-4])
    _start_and_check(store)
    copies = list(store.folder.glob("*.cut-*"))
    assert len(copies) == 10
    assert any(copy.read_bytes() == SET[:-4] for copy in copies)


def test_every_beginning_of_a_command_is_incomplete() -> None:
    """A command that is cut off at any byte is incomplete; a whole command and a malformed one are not."""
    for whole in (SET, TRANSACTION + command("EXEC")):
        assert all(_is_incomplete(whole[:end]) for end in range(1, len(whole)))
        assert not _is_incomplete(whole)
    wrong = SET.replace(b"$4", b"$5")
    assert not any(_is_incomplete(wrong[:end]) for end in range(wrong.index(b"$3"), len(wrong)) if end > 25)


def test_a_long_log_is_rotated(store: EmbeddedValkey) -> None:
    """If the store's log is longer than 10 MiB, the next start begins a new one, and keeps the previous one."""
    log = store.folder / "valkey.log"
    with log.open("ab") as opened:
        opened.truncate(11 * 2**20)
    _start_and_check(store)
    assert log.stat().st_size < 2**20
    assert (store.folder / "valkey.log.1").stat().st_size == 11 * 2**20


def test_a_killed_store_keeps_its_file(store: EmbeddedValkey) -> None:
    """Nothing is cut off the file of a killed store, because every confirmed write is complete."""
    process = store.start()
    store.wait_until_ready(process)
    for number in range(50):
        assert ask(store.socket_path, f"SET {number} 1") == "+OK"
    process.kill()
    process.wait()
    assert _start_and_check(store) == []
