"""Loads the models of the languages that flows name, in the process that forks the workers, so that all share them.

That process must know neither Redis' client nor TLS: its workers patch them for gevent after the fork. So a forked
child asks the store, and only says what it found. lingua knows no sockets.
"""

import gc
from collections.abc import Callable

from router.process.fork import in_child
from router.settings import Settings

# The store is asked some twenty times, at most a second each; where it does not answer, it is given up at the first.
_PATIENCE = 5.0


def preload(settings: Settings, say: Callable[[str], None]) -> None:
    """Load the models that are missing yet; nothing where no flow names a language.

    Where the store does not say, `say` is called with what that means, and nothing is loaded.
    """
    try:
        said = in_child(lambda: _named(settings), seconds=_PATIENCE)
    except TimeoutError:
        said = None
    if said is None:
        say(
            "the store does not say which languages flows name: until a reload (kill -HUP), languages are told without "
            "looking at the text"
        )
    elif named := said.split():
        from router.language import detector
        from router.language import tag as language_tag

        detector.load(detector.needed(named))
        for code in named:
            # For preference commands: the first time takes up to 16 ms, which is long in a worker.
            language_tag.names(code)
        # The collector writes to whatever it looks at, and so would give each worker a copy of its own: 7 MB.
        gc.freeze()


def _named(settings: Settings) -> str:
    from router.store import connect

    return " ".join(sorted(connect(settings).languages.load()))
