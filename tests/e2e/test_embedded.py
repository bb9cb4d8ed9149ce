"""The embedded Valkey: at most one for each folder, and no confirmed write is lost, however it ends."""

import os
import shutil
import signal
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from router.process.embedded import EmbeddedStoreError, EmbeddedValkey, ask
from router.process.machine_memory import memory_limit

Start = Callable[[EmbeddedValkey], subprocess.Popen[bytes]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a store and wait until it answers; it is ended after the test."""
    processes: list[subprocess.Popen[bytes]] = []

    def begin(store: EmbeddedValkey) -> subprocess.Popen[bytes]:
        process = store.start()
        processes.append(process)
        store.wait_until_ready(process)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("section", "line"),
    [
        pytest.param("persistence", "aof_enabled:1", id="append-only"),
        pytest.param("memory", "maxmemory_policy:noeviction", id="nothing is evicted"),
        pytest.param("server", "tcp_port:0", id="no connections from the network"),
    ],
)
def test_the_configuration_is_durable_and_local(tmp_path: Path, start: Start, section: str, line: str) -> None:
    """The store that `router run` starts writes an append-only file, evicts nothing, and opens no TCP port."""
    store = EmbeddedValkey.over(tmp_path)
    start(store)
    assert line in _info(store, section)


def test_a_write_that_was_answered_survives_a_kill(tmp_path: Path, start: Start) -> None:
    """After kill -9 a restarted store has every confirmed write."""
    store = EmbeddedValkey.over(tmp_path)
    first = start(store)
    assert ask(store.socket_path, "SET message safe") == "+OK"
    first.kill()
    first.wait()
    start(store)
    assert ask(store.socket_path, "EXISTS message") == ":1"


def test_its_memory_is_limited_to_a_third_of_the_machines(tmp_path: Path, start: Start) -> None:
    """The store's `maxmemory` is a third of the machine's memory."""
    store = EmbeddedValkey.over(tmp_path)
    start(store)
    assert f"maxmemory:{memory_limit() // 3}" in _info(store, "memory")


def test_a_full_store_refuses_writes_and_keeps_its_data(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store whose memory is full refuses writes, keeps running, and keeps its data."""
    monkeypatch.setattr("router.process.embedded.memory_limit", lambda: 3 * 8 * 2**20)
    store = EmbeddedValkey.over(tmp_path)
    process = start(store)
    answers = [ask(store.socket_path, f"SET {number} {'x' * 60_000}") for number in range(200)]
    assert answers[0] == "+OK"
    assert answers[-1].startswith("-OOM")
    assert process.poll() is None
    assert ask(store.socket_path, "DBSIZE") == f":{answers.count('+OK')}"


def test_a_store_left_behind_is_replaced(tmp_path: Path, start: Start) -> None:
    """A Valkey whose `router run` was killed is asked to stop; the next one has its data."""
    store = EmbeddedValkey.over(tmp_path)
    left_behind = start(store)
    assert ask(store.socket_path, "SET message safe") == "+OK"
    start(store)
    assert left_behind.wait(5) == 0
    assert ask(store.socket_path, "EXISTS message") == ":1"


def test_a_hanging_store_left_behind_is_replaced(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Valkey that does not stop when asked is killed, because two Valkeys over one folder would destroy its file."""
    monkeypatch.setattr("router.process.embedded._LEAVE", 0.1)
    store = EmbeddedValkey.over(tmp_path)
    left_behind = start(store)
    left_behind.send_signal(signal.SIGSTOP)
    start(store)
    assert left_behind.wait(5) == -signal.SIGKILL


def test_a_folder_in_use_is_never_shared(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """If a Valkey holds the folder's lock and cannot be asked to stop, the second start fails with that reason."""
    monkeypatch.setattr("router.process.embedded._SILENCE", 0.2)
    store = EmbeddedValkey.over(tmp_path)
    holder = start(store)
    store.socket_path.unlink()  # so that it cannot be asked to stop
    with pytest.raises(EmbeddedStoreError, match="another Valkey still uses"):
        store.start()
    assert holder.poll() is None


def test_the_error_of_an_unreadable_file_has_the_reason(tmp_path: Path) -> None:
    """If Valkey cannot read its file, the error has Valkey's last log lines and the path of its log."""
    store = EmbeddedValkey.over(tmp_path)
    (store.folder / "appendonlydir").mkdir()
    (store.folder / "appendonlydir" / "appendonly.aof.manifest").write_text("not a manifest\n")
    process = store.start()
    with pytest.raises(EmbeddedStoreError, match=r"ended at once: .*valkey\.log"):
        store.wait_until_ready(process)


def test_the_folder_is_private(tmp_path: Path, start: Start) -> None:
    """No other user of the machine can open the socket or the files."""
    (tmp_path / "valkey").mkdir(mode=0o777)
    store = EmbeddedValkey.over(tmp_path / "valkey")
    start(store)
    assert stat.S_IMODE(store.folder.stat().st_mode) == 0o700


def test_a_folder_with_a_long_path_has_its_socket_elsewhere(tmp_path: Path, start: Start) -> None:
    """If a folder's path is too long for a socket, the socket is in a short private folder, the same at each start."""
    folder = tmp_path / ("a" * 60) / ("b " * 30)
    store = EmbeddedValkey.over(folder)
    try:
        assert len(os.fsencode(store.socket_path)) < 104
        assert stat.S_IMODE(store.socket_path.parent.stat().st_mode) == 0o700
        start(store)
        assert EmbeddedValkey.over(folder) == store
        store.socket_path.parent.chmod(0o755)
        assert EmbeddedValkey.over(folder) != store, "a folder that others may enter is not used again"
    finally:
        shutil.rmtree(store.socket_path.parent)
        shutil.rmtree(EmbeddedValkey.over(folder).socket_path.parent)


def _info(store: EmbeddedValkey, section: str) -> list[str]:
    """Return the lines of a section of INFO."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(store.socket_path))
        connection.sendall(f"INFO {section}\r\n".encode())
        with connection.makefile("rb") as answer:
            length = int(answer.readline()[1:])
            return answer.read(length).decode().splitlines()
