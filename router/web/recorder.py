"""Records refused requests for the doctor: at most one per second and account, for at most `WAITING` accounts.

Only a limited part of a request is stored, and nothing is computed here, so a flood of requests costs little. A record
is written after the answer, in a separate greenlet. Of the requests of one second, the first one with a signature is
recorded, or else the first one; the others are only counted.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

import gevent

from router.diagnosis.refused import Refused, Seen, keep
from router.errors import StoreUnavailable
from router.settings import Settings
from router.store.refusals import Refusals
from router.web.request import Received

# Seconds between two records of an account by one process.
PAUSE: Final = 1.0
# The maximum number of accounts with a record to be written; those of further accounts are dropped in that second.
WAITING: Final = 8
# The common headers in which proxies pass on the requested host and scheme.
_HOSTS: Final = ("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST")
_PORTS: Final = ("HTTP_X_FORWARDED_PORT",)
_PREFIXES: Final = ("HTTP_X_FORWARDED_PREFIX", "HTTP_X_SCRIPT_NAME")
_HEADER: Final = 1000  # the maximum characters that are read of such a header, and the maximum values
_NAMES: Final = 3


class Recorder:
    """Records the refused requests of one process.

    `pause` is called with the seconds to wait between two rounds of writing.
    """

    def __init__(self, settings: Settings, refusals: Refusals, pause: Callable[[float], None] = gevent.sleep) -> None:
        self._settings = settings
        self._refusals = refusals
        self._pause = pause
        self._waiting: dict[str, Refused] = {}  # by account, "" for requests that name no configured account
        self._others: dict[str, int] = {}
        self._busy = False

    def note(self, received: Received, environ: Mapping[str, Any], status: int, reason: str) -> None:
        """Queue the record of a request that was refused with `status` for `reason`; does no I/O."""
        named = next((value for name, value in received.fields if name == "AccountSid"), "")
        account_sid = named if self._settings.account(named) else ""
        waiting = self._waiting.get(account_sid)
        if waiting is not None:
            self._others[account_sid] += 1
            if waiting.signature or not received.signature:
                return
        elif len(self._waiting) >= WAITING:
            return
        else:
            self._others[account_sid] = 0
        self._waiting[account_sid] = _refused(received, environ, status, reason)
        if not self._busy:
            self._busy = True
            gevent.spawn(self._write)

    def _write(self) -> None:
        try:
            while self._waiting:
                waiting, others = self._waiting, self._others
                self._waiting, self._others = {}, {}
                for account_sid, refused in waiting.items():
                    waited = max(0, int(time.time() * 1000) - refused.at)
                    with suppress(StoreUnavailable):
                        self._refusals.add(
                            replace(refused, others=others[account_sid]), account_sid=account_sid, waited=waited
                        )
                self._pause(PAUSE)
        finally:
            self._busy = False


def _refused(received: Received, environ: Mapping[str, Any], status: int, reason: str) -> Refused:
    return keep(
        received.raw,
        received.target,
        at=int(time.time() * 1000),
        status=status,
        reason=reason,
        signature=received.signature,
        signature_settings=received.signature_settings,
        bases=received.bases or ((received.claimed,) if received.claimed else ()),
        doubt=received.doubt,
        seen=Seen(
            hosts=_values(environ, _HOSTS),
            ports=tuple(port for port in _values(environ, _PORTS) if port.isdecimal()),
            prefixes=tuple(prefix for prefix in _values(environ, _PREFIXES) if prefix.startswith("/")),
        ),
    )


def _values(environ: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    values = (each for name in names for each in str(environ.get(name, ""))[:_HEADER].split(",", _NAMES)[:_NAMES])
    return tuple(each.strip() for each in values)
