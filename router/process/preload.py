"""What the process that forks the workers does first: it loads the models of the languages that flows name.

So all workers share them. It also says which flows lose their messages. That process must know neither Redis' client
nor TLS: its workers patch them for gevent after the fork. So a forked child asks the store, and only says what it
found. lingua knows no sockets.
"""

import contextlib
import gc
import json
from collections.abc import Callable
from itertools import islice
from typing import Final

from router.process.fork import in_child
from router.settings import Settings

# The store is asked some twenty times, at most a second each; where it does not answer, it is given up at the first.
_PATIENCE: Final = 5.0
# Flows of an account that are looked at, at most: reading them takes a second or so.
_FLOWS: Final = 10_000
_FAULTS: Final = 5


def preload(settings: Settings, say: Callable[[str], None]) -> None:
    """Load the models that are missing yet, and call `say` for each flow that loses its messages."""
    load_languages(settings, say)
    with contextlib.suppress(TimeoutError):
        faults = json.loads(in_child(lambda: json.dumps(_faults(settings)), seconds=_PATIENCE) or "[]")
        for fault in faults[:_FAULTS]:
            say(fault)
        if faults[_FAULTS:]:
            say("there are more such flows: `router doctor` tells of them")


def load_languages(settings: Settings, say: Callable[[str], None]) -> bool:
    """Load the models that are missing yet; return whether there were any. Nothing where no flow names a language.

    Where the store does not say, `say` is called with what that means, and nothing is loaded.
    """
    try:
        line = in_child(lambda: _named(settings), seconds=_PATIENCE)
    except TimeoutError:
        line = None
    if line is None:
        say(
            "the store does not say which languages flows name: until it does, languages are told without looking at "
            "the text"
        )
    if not line:
        return False
    from router.language import detector
    from router.language import tag as language_tag

    named = line.split()
    for code in named:
        # For preference commands: the first time takes up to 16 ms, which is long in a worker.
        language_tag.names(code)
    missing = detector.needed(named) - detector.shared().loaded
    if not missing:
        return False
    detector.load(detector.needed(named))
    # The collector writes to whatever it looks at, and so would give each worker a copy of its own: 7 MB.
    gc.freeze()
    return True


def _named(settings: Settings) -> str:
    from router.store import connect

    return " ".join(sorted(connect(settings).languages.named()))


def _faults(settings: Settings) -> list[str]:
    """Say which enabled flows lose their messages, or harm customers."""
    from router.flow.warning import Surroundings, of_flow, of_settings
    from router.store import connect

    around, store = Surroundings.of(settings), connect(settings)
    walked = (flow for account in settings.accounts for flow in islice(store.flows.walk(account.sid), _FLOWS))
    found = (each for flow in walked if flow.enabled for each in of_flow(flow, around) if each.fault)
    return [*map(str, of_settings(settings)), *(f"flow {each.full}" for each in islice(found, _FAULTS + 1))]
