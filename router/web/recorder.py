"""Refused requests are looked into and recorded, one a second at most: whoever sends many of them gains nothing by it.

It happens after the answer, in a greenlet of its own. While one is being looked into, the most telling of those that
come next waits for its turn; the others are counted, and their bodies let go.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import gevent

from router.diagnosis.signature import Refused, diagnose
from router.diagnosis.url import Seen
from router.errors import StoreUnavailable
from router.message.inbound import mask
from router.settings import Settings
from router.sid import is_sid
from router.store.refusals import Refusal, Refusals, tag_of
from router.web.request import Received

# Between two diagnoses of one process, which cost some 20 ms each.
PAUSE: Final = 1.0
# What proxies say of the address that they were asked for, the commonest names of it.
_HOSTS: Final = ("HTTP_HOST", "HTTP_X_FORWARDED_HOST", "HTTP_X_ORIGINAL_HOST")
_PREFIXES: Final = ("HTTP_X_FORWARDED_PREFIX", "HTTP_X_SCRIPT_NAME")
_LONGEST: Final = 253  # characters of a host name, RFC 1035


class Recorder:
    """Looks into refused requests of one process.

    `pause` is called between two of them, with seconds.
    """

    def __init__(
        self,
        settings: Settings,
        refusals: Refusals,
        tags: tuple[str, ...],
        pause: Callable[[float], None] = gevent.sleep,
    ) -> None:
        self._settings = settings
        self._refusals = refusals
        self._tags = tags
        self._pause = pause
        self._waiting: tuple[Refused, str, int] | None = None
        self._others = 0
        self._busy = False

    def note(self, received: Received, environ: Mapping[str, Any], reason: str) -> None:
        """Take note of a request that was refused for `reason`; costs next to nothing."""
        if self._waiting is not None:
            self._others += 1
            if self._rank(received) < self._rank(self._waiting[0]):
                return
        self._waiting = (_refused(received, environ), reason, int(time.time() * 1000))
        if not self._busy:
            self._busy = True
            gevent.spawn(self._look_into)

    def _rank(self, request: Received | Refused) -> tuple[bool, bool]:
        """Tell how much a request may teach: a stranger's flood must not hide what Twilio signed."""
        account_sid = next((value for name, value in request.fields if name == "AccountSid"), "")
        return self._settings.account(account_sid) is not None, bool(request.signature)

    def _look_into(self) -> None:
        try:
            while self._waiting is not None:
                (refused, reason, at), others = self._waiting, self._others
                self._waiting, self._others = None, 0
                refusal, tag = self._diagnosed(refused, reason, at, others)
                with suppress(StoreUnavailable):
                    self._refusals.add(refusal, tag=tag)
                self._pause(PAUSE)
        finally:
            self._busy = False

    def _diagnosed(self, refused: Refused, reason: str, at: int, others: int) -> tuple[Refusal, str]:
        diagnosis = diagnose(refused, self._settings.accounts)
        given = dict(refused.fields)
        account_sid, message_sid = given.get("AccountSid", ""), given.get("MessageSid", "")
        account_sid = account_sid if is_sid(account_sid, "AC") else ""
        refusal = Refusal(
            at=at,
            reason=reason,
            method=refused.raw.method,
            url=diagnosis.url,
            account_sid=account_sid,
            message_sid=message_sid if is_sid(message_sid, "SM", "MM") else "",
            sender=mask(given.get("From", "")[:100]) if given.get("From") else "",
            to=mask(given.get("To", "")[:100]) if given.get("To") else "",
            fields=len(refused.fields),
            length=len(refused.raw.body),
            matched=diagnosis.matched,
            findings=diagnosis.findings,
            others=others,
        )
        return refusal, tag_of(account_sid if self._settings.account(account_sid) else "", self._tags)


def _refused(received: Received, environ: Mapping[str, Any]) -> Refused:
    def said(*names: str) -> tuple[str, ...]:
        values = (each.strip() for name in names for each in str(environ.get(name, ""))[:1000].split(",")[:3])
        return tuple(dict.fromkeys(value for value in values if value and len(value) <= _LONGEST))

    ports = tuple(port for port in said("HTTP_X_FORWARDED_PORT") if port.isdecimal())
    prefixes = tuple(prefix for prefix in said(*_PREFIXES) if prefix.startswith("/"))
    return Refused(
        raw=received.raw,
        fields=received.fields,
        bases=received.bases or ((received.claimed,) if received.claimed else ()),
        doubt=received.doubt,
        target=received.target,
        signature=received.signature,
        signature_settings=received.signature_settings,
        seen=Seen(hosts=said(*_HOSTS), ports=ports, prefixes=prefixes),
    )
