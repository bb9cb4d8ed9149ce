"""What the process that forks the workers does first: it loads the models of the languages that flows name.

So all workers share them. It also says which flows lose their messages. That process must know neither Redis' client
nor TLS: its workers patch them for gevent after the fork. So a forked child asks the store, and only says what it
found. lingua knows no sockets.
"""

import contextlib
import gc
import json
import time
from collections.abc import Callable, Mapping
from itertools import islice, takewhile
from typing import Final

from router.errors import RouterError
from router.process.fork import in_child
from router.settings import Settings

# The store is asked some twenty times, at most a second each; where it does not answer, it is given up at the first.
_PATIENCE: Final = 5.0
# Of these, for the flows that lose their messages: what was found by then is told, and the languages are never lost.
_LOOK: Final = 3.0
# Flows of an account that are looked at, at most: reading them takes a second or so.
_FLOWS: Final = 10_000
_FAULTS: Final = 5

_Found = Mapping[str, list[str]]


def preload(settings: Settings, say: Callable[[str], None]) -> None:
    """Load the models that are missing yet, and call `say` for each flow that loses its messages."""
    found = _ask(lambda: {"languages": _named(settings), "faults": _faults(settings)})
    _load(found, say)
    faults = found["faults"] if found else []
    for fault in faults[:_FAULTS]:
        say(fault)
    if faults[_FAULTS:]:
        say("there are more such flows: `router doctor` lists them")


def load_languages(settings: Settings, say: Callable[[str], None]) -> bool:
    """Load the models that are missing yet; return whether there were any. Nothing where no flow names a language.

    Where the store does not say, `say` is called with what that means, and nothing is loaded.
    """
    return _load(_ask(lambda: {"languages": _named(settings)}), say)


def _ask(question: Callable[[], _Found]) -> _Found | None:
    """Return what a forked child finds in the store; None where the store does not answer in time."""
    line = None
    with contextlib.suppress(TimeoutError):
        line = in_child(lambda: json.dumps(question()), seconds=_PATIENCE)
    return json.loads(line) if line else None


def _load(found: _Found | None, say: Callable[[str], None]) -> bool:
    if found is None:
        say(
            "the store does not say which languages flows name: until it does, the router detects languages without "
            "the text"
        )
        return False
    if not found["languages"]:
        return False
    from router.language import detector
    from router.language import tag as language_tag

    for code in found["languages"]:
        # For preference commands: the first time takes up to 16 ms, which is long in a worker.
        language_tag.names(code)
    wanted = detector.needed(found["languages"])
    if not wanted - detector.shared().loaded:
        return False
    detector.load(wanted)
    # The collector writes to whatever it looks at, and so would give each worker a copy of its own: 7 MB.
    gc.freeze()
    return True


def _named(settings: Settings) -> list[str]:
    from router.store import connect

    return sorted(connect(settings).languages.named())


def _faults(settings: Settings) -> list[str]:
    """Say which enabled flows lose their messages, or harm customers; nothing where the store fails meanwhile."""
    from router.flow.warning import Surroundings, of_flow, of_settings
    from router.store import connect

    around, store, end = Surroundings.of(settings), connect(settings), time.monotonic() + _LOOK
    walked = (flow for account in settings.accounts for flow in islice(store.flows.walk(account.sid), _FLOWS))
    in_time = takewhile(lambda _: time.monotonic() < end, walked)
    found = (each for flow in in_time if flow.enabled for each in of_flow(flow, around) if each.fault)
    try:
        return [*map(str, of_settings(settings)), *(f"flow {each.full}" for each in islice(found, _FAULTS + 1))]
    except RouterError:
        return []
