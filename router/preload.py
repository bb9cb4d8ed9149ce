"""Loads the models of the languages that flows name, in the process that forks the workers, so that all share them.

That process must know neither Redis' client nor TLS: its workers patch them for gevent after the fork. So a forked
child asks the store, and only says what it found. lingua knows no sockets.
"""

import gc
import os
import select
import signal
from collections.abc import Callable

from router.settings import Settings

# The store is asked some twenty times, at most a second each; where it does not answer, it is given up at the first.
_PATIENCE = 5.0
_ANSWER = 64 * 1024  # bytes; languages are as many as people have made tags for


def preload(settings: Settings, say: Callable[[str], None]) -> None:
    """Load the models that are missing yet; nothing where no flow names a language.

    Where the store does not say, `say` is called with what that means, and nothing is loaded.
    """
    named = _in_child(lambda: _named(settings))
    if named is None:
        say(
            "the store does not say which languages flows name: until a reload (kill -HUP), languages are told without "
            "looking at the text"
        )
    elif named:
        from router import detector, language_tag

        detector.load(detector.needed(named))
        for code in named:
            language_tag.names(
                code
            )  # for preference commands: the first time takes up to 16 ms, which is long in a worker
        # The collector writes to whatever it looks at, and so would give each worker a copy of its own: 7 MB.
        gc.freeze()


def _named(settings: Settings) -> str:
    from router.store import connect

    return " ".join(sorted(connect(settings).languages.load()))


def _in_child(answer: Callable[[], str]) -> list[str] | None:
    """Have a forked child find the words of an answer; None where it fails, or takes too long."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(theirs, f"{answer()}\n".encode())
        finally:
            os._exit(0)
    os.close(theirs)
    try:
        if not select.select([ours], [], [], _PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
        said = os.read(ours, _ANSWER).decode()
    finally:
        os.close(ours)
        os.waitpid(child, 0)
    return said.split() if said.endswith("\n") else None
