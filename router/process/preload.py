"""What the process that forks the workers does first: it loads the models of the languages that flows name.

So all workers share them. It also says which flows lose their messages. That process must know neither Redis' client
nor TLS: its workers patch them for gevent after the fork. So a forked child asks the store, and only says what it
found. lingua knows no sockets. `router run`, whose own child has just asked the store, says it in the environment.
"""

import contextlib
import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Final

from router.errors import RouterError
from router.process.fork import in_child
from router.settings import Settings

if TYPE_CHECKING:
    from router.store.at_start import StoreAtStart

# The store is asked some twenty times, at most a second each; where it does not answer, it is given up at the first.
_PATIENCE: Final = 5.0
# Of these, for the flows that lose their messages: what was found by then is told, and the languages are never lost.
_LOOK: Final = 3.0
# Flows of an account that are looked at, at most: reading them takes a second or so.
_FLOWS: Final = 10_000
_FAULTS: Final = 5

# The variable in which `router run` gives gunicorn what it found; gunicorn removes it.
FOUND: Final = "_FOUND_IN_STORE"

_Found = Mapping[str, list[str]]


def preload(settings: Settings, say: Callable[[str], None], told: str = "") -> None:
    """Load the models that are missing yet, and call `say` for each flow that loses its messages.

    `told` is what `found_in_store` returned elsewhere a moment ago; without it the store is asked.
    """
    found = json.loads(told) if told else _ask(lambda: _found(settings))
    _load(found, say)
    faults = found["faults"] if found else []
    for fault in faults[:_FAULTS]:
        say(fault)
    if faults[_FAULTS:]:
        say("there are more such flows: `router doctor` lists them")


def found_in_store(settings: Settings) -> str:
    """Return what `preload` has to know of the store; it imports the store's client."""
    return json.dumps(_found(settings))


def load_languages(settings: Settings, say: Callable[[str], None]) -> bool:
    """Load the models that are missing yet; return whether there were any. Nothing where no flow names a language.

    Where the store does not say, `say` is called with what that means, and nothing is loaded.
    """
    return _load(_ask(lambda: {"languages": _store(settings).languages()}), say)


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
    from router.language import country, detector
    from router.language import tag as language_tag

    # The first time takes 20 ms, and for preference commands up to 16 ms each: long in a worker.
    country.country_of("+12025550100")
    for code in found["languages"]:
        language_tag.names(code)
    wanted = detector.needed(found["languages"])
    if not wanted - detector.shared().loaded:
        return False
    detector.load(wanted)
    # The collector writes to whatever it looks at, and so would give each worker a copy of its own: 7 MB.
    gc.freeze()
    return True


def _store(settings: Settings) -> "StoreAtStart":
    from router.store.at_start import StoreAtStart

    return StoreAtStart(settings)


def _found(settings: Settings) -> _Found:
    store = _store(settings)
    return {"languages": store.languages(), "faults": _faults(settings, store)}


def _faults(settings: Settings, store: "StoreAtStart") -> list[str]:
    """Say which enabled flows lose their messages, or harm customers; nothing where the store fails meanwhile."""
    from router.flow.warned import of_settings

    try:
        found = islice(_flow_faults(settings), _FAULTS + 1) if store.has_flows() else ()
        return [*map(str, of_settings(settings)), *found]
    except RouterError:
        return []


def _flow_faults(settings: Settings) -> Iterator[str]:
    from router.flow.warning import Surroundings, of_flow
    from router.store import connect

    around, store, end = Surroundings.of(settings), connect(settings), time.monotonic() + _LOOK
    walked = (flow for account in settings.accounts for flow in islice(store.flows.walk(account.sid), _FLOWS))
    in_time = takewhile(lambda _: time.monotonic() < end, walked)
    return (f"flow {each.full}" for flow in in_time if flow.enabled for each in of_flow(flow, around) if each.fault)
