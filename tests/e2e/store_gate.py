"""A proxy before the store that stops one call of a script: before the store gets it, or before its reply is read."""

import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import quote

from router.store.script import SCRIPTS
from tests.valkey import ValkeyServer
from tests.waiting import wait_until

_PIECE: Final = 1 << 20


class StoreGate:
    """Forwards connections to a store; `stop_at` names the script whose next call is stopped."""

    def __init__(self, valkey: ValkeyServer) -> None:
        self._store = str(valkey.socket_path)
        self._folder = tempfile.TemporaryDirectory(prefix="router-gate-")
        path = Path(self._folder.name) / "gate.sock"
        self.url = "unix://" + quote(str(path))
        self._lock = threading.Lock()
        self._wanted, self._replies = b"", False
        self._stopped = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def stop_at(self, script: str, *, replies: bool = False) -> None:
        """Stop the next call of a script: the call itself, or with `replies` the store's reply to it."""
        with self._lock:
            self._stopped.clear()
            self._replies, self._wanted = replies, SCRIPTS[script].sha.encode()

    def wait(self) -> None:
        """Wait until the call is stopped; with `replies`, the store has carried it out by then."""
        wait_until(self._stopped.is_set, what="the call is stopped")

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()
        self._folder.cleanup()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                try:
                    far.connect(self._store)
                except OSError:
                    near.close()
                    continue
                silent = threading.Event()
                for copy in (self._calls, self._returns):
                    threading.Thread(target=copy, args=(near, far, silent), daemon=True).start()

    def _calls(self, near: socket.socket, far: socket.socket, silent: threading.Event) -> None:
        """Forward a process's calls; those that follow a stopped call on its connection are dropped with it."""
        with near, far, suppress(OSError):
            while piece := near.recv(_PIECE):
                if self._is_wanted(piece):
                    silent.set()
                    if not self._replies:
                        self._stopped.set()
                if self._replies or not silent.is_set():
                    far.sendall(piece)
            far.shutdown(socket.SHUT_RDWR)

    def _returns(self, near: socket.socket, far: socket.socket, silent: threading.Event) -> None:
        """Forward the store's replies, and none after a stopped call."""
        with suppress(OSError):
            while piece := far.recv(_PIECE):
                if silent.is_set():
                    self._stopped.set()
                else:
                    near.sendall(piece)
            near.shutdown(socket.SHUT_RDWR)

    def _is_wanted(self, piece: bytes) -> bool:
        with self._lock:
            found = bool(self._wanted) and self._wanted in piece
            if found:
                self._wanted = b""
            return found
