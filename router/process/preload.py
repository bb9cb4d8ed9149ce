"""Loads the models of the languages that flows name, before the workers are forked, so that they share them.

It also warns about flows that lose their messages. The process that forks the workers must not import the Redis client
or ssl, because gevent patches these in the workers after the fork. So a forked child reads the store and returns the
result. lingua does not use sockets. `router run`, whose own child has just read the store, passes the result on in the
environment.
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

# The time limit of the child: about twenty calls to the store of a second each at most, and it ends at the first call
# that fails.
_PATIENCE: Final = 5.0
# The part of it for the search for flows that lose their messages: then those found so far are returned.
_LOOK: Final = 3.0
# The maximum number of flows checked per account: reading them takes about a second.
_FLOWS: Final = 10_000
_FAULTS: Final = 5

# The environment variable with which `router run` passes its result to gunicorn, which removes it.
FOUND: Final = "_FOUND_IN_STORE"

_Stored = Mapping[str, list[str]]


def preload(settings: Settings, warn: Callable[[str], None], found: str = "") -> None:
    """Load the models that are not loaded yet, and call `warn` for each flow that loses its messages.

    `found` is a result of `found_in_store` from a moment ago; without it the store is read.
    """
    stored = json.loads(found) if found else _read(lambda: _found(settings))
    _load(stored, warn)
    faults = stored["faults"] if stored else []
    for fault in faults[:_FAULTS]:
        warn(fault)
    if faults[_FAULTS:]:
        warn("there are more such flows: `router doctor` lists them")


def found_in_store(settings: Settings) -> str:
    """Return the data that `preload` needs from the store, as JSON; it imports the store's client."""
    return json.dumps(_found(settings))


def load_languages(settings: Settings, warn: Callable[[str], None]) -> bool:
    """Load the models that are not loaded yet; return whether there were any.

    If the store does not answer, `warn` is called, and nothing is loaded.
    """
    return _load(_read(lambda: {"languages": _store(settings).languages()}), warn)


def _read(query: Callable[[], _Stored]) -> _Stored | None:
    """Return the result of a query that a forked child makes; None if the store does not answer in time."""
    line = None
    with contextlib.suppress(TimeoutError):
        line = in_child(lambda: json.dumps(query()), seconds=_PATIENCE)
    return json.loads(line) if line else None


def _load(stored: _Stored | None, warn: Callable[[str], None]) -> bool:
    if stored is None:
        warn(
            "the store does not say which languages flows name: until it does, the router detects languages without "
            "the text"
        )
        return False
    if not stored["languages"]:
        return False
    from router.language import country, detector
    from router.language import tag as language_tag

    # Fill caches: the first call takes 20 ms here, and up to 16 ms for each language's names, too long in a worker.
    country.country_of("+12025550100")
    for code in stored["languages"]:
        language_tag.names(code)
    wanted = detector.needed(stored["languages"])
    if not wanted - detector.shared().loaded:
        return False
    detector.load(wanted)
    # The garbage collector writes to each object that it visits, and would so give each worker its own copy: 7 MB.
    gc.freeze()
    return True


def _store(settings: Settings) -> "StoreAtStart":
    from router.store.at_start import StoreAtStart

    return StoreAtStart(settings)


def _found(settings: Settings) -> _Stored:
    store = _store(settings)
    return {"languages": store.languages(), "faults": _faults(settings, store)}


def _faults(settings: Settings, store: "StoreAtStart") -> list[str]:
    """Describe the enabled flows that lose their messages, or harm customers; [] if the store does not answer."""
    from router.flow.warned import of_settings

    try:
        of_flows = islice(_flow_faults(settings), _FAULTS + 1) if store.has_flows() else ()
        return [*map(str, of_settings(settings)), *of_flows]
    except RouterError:
        return []


def _flow_faults(settings: Settings) -> Iterator[str]:
    from router.flow.warning import Surroundings, of_flow
    from router.store import connect

    around, store, end = Surroundings.of(settings), connect(settings), time.monotonic() + _LOOK
    walked = (flow for account in settings.accounts for flow in islice(store.flows.walk(account.sid), _FLOWS))
    in_time = takewhile(lambda _: time.monotonic() < end, walked)
    return (f"flow {each.full}" for flow in in_time if flow.enabled for each in of_flow(flow, around) if each.fault)
