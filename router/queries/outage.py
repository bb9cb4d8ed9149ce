"""Automatic recovery after an outage: fetches the missed messages from Twilio's REST API and accepts them.

Messages may have been missed if this router answered 503, if no router served the account for some time, if the only
one was restarted, if a process was killed, or if a signature matches again after some that did not. Each such period is
stored as a gap. When a gap is so old that Twilio has given up on its messages, one process fetches them from Twilio.

A message is accepted only if no other program can have handled it: at Twilio, the address's webhook URL is this
router's, and its fallback URL is this router's, too, or empty. All others are only reported.

https://www.twilio.com/docs/messaging/api/message-resource
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final

from router import metrics
from router.delivery.intake import Intake
from router.errors import RouterError, StoreUnavailable
from router.machine import machine, started
from router.message.address import canonical, channel_of
from router.queries.recovery import Lost, accept, lost
from router.routing.resolve import Likelihood
from router.settings import Account, Settings
from router.store import Store
from router.store.lanes import new_token
from router.store.outages import Gap, Report
from router.twilio_api.account import Address, TwilioApi
from router.twilio_api.client import TwilioError

# The interval of the heartbeat; a pause longer than `SILENCE_SECONDS` is a gap.
BEAT_SECONDS: Final = 5.0
SILENCE_SECONDS: Final = 12.0
# Twilio gives webhook and fallback 15 s each, and its clock and ours may differ: a gap is processed this long after its
# end, and is extended by as much on both sides.
SETTLE_SECONDS: Final = 75.0
MARGIN_SECONDS: Final = 60.0
# The longest period that is recovered: a message older than this, or than ROUTER_DELIVERED_HOURS, would not be
# recognized as a duplicate.
WINDOW_SECONDS: Final = 24 * 3600.0
# The maximum number of messages read for one gap; above it the operator decides, with `router recover`.
MOST: Final = 50_000
# The delay after a failed recovery, in seconds; it grows with further failures.
RETRY_SECONDS: Final = (60.0, 300.0, 900.0)
# The lifetime of the lock of a recovery, unless renewed.
TURN_SECONDS: Final = 120.0
# The pause between two pages of records, to leave capacity for the account's other REST calls.
PAGE: Final = 500
PAUSE_SECONDS: Final = 0.5


@dataclass(slots=True)
class _Failed:
    """The number of failed recoveries of an account in this process, and the next time, in monotonic seconds."""

    times: int = 0
    until: float = 0.0


class Healer:
    """Detects gaps and recovers their messages, for one process.

    Args:
        settings: `recover` turns it off.
        store: the store.
        intake: accepts the messages.
        likelihood: computes how well a text fits languages.
        bases: returns the current public base URLs of this router.
        report: called after each recovery that found something, and after each that failed.
    """

    def __init__(  # noqa: PLR0913 - its dependencies
        self,
        settings: Settings,
        store: Store,
        intake: Intake,
        likelihood: Likelihood,
        *,
        bases: Callable[[], Sequence[str]],
        report: Callable[..., Any],
    ) -> None:
        self._settings = settings
        self._store = store
        self._intake = intake
        self._likelihood = likelihood
        self._bases = bases
        self._report = report
        self._served = [account.sid for account in settings.accounts if account.auth_tokens]
        self._missed: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._refused_before_match: dict[str, float] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._unwritten: set[tuple[str, str]] = set()
        self._new: dict[str, Gap] = {}  # periods that are not written yet
        self._gaps: Mapping[str, Gap] = {}
        self._failed: dict[str, _Failed] = {}

    # -- called by the webhook view, and when a killed process is found ----------------------------------------------

    def missed(self, account_sid: str) -> None:
        """Record that a genuine message has just been answered with 503."""
        self._missed.setdefault(account_sid, time.time())

    def refused(self, account_sid: str) -> None:
        """Record that a request which names one of our accounts had no matching signature."""
        if self._settings.account(account_sid) is not None:
            self._refused.setdefault(account_sid, time.time())

    def matched(self, account_sid: str, identity: str) -> None:
        """Record a genuine message to a canonical address: the period of earlier refusals may now be a gap."""
        day = int(time.time() // 86400)
        if self._seen.get((account_sid, identity)) != day:
            self._seen[account_sid, identity] = day
            self._unwritten.add((account_sid, identity))
        if account_sid in self._refused:
            self._refused_before_match.setdefault(account_sid, self._refused.pop(account_sid))

    def killed(self, account_sids: Iterable[str], period: Gap) -> None:
        """Record that a process which served some accounts was killed in a period, and write it."""
        for sid in account_sids:
            self._add(sid, period)
        self._write_new()

    # -- the beat ----------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Write the heartbeat and new gaps.

        Raises StoreUnavailable while the store is unavailable: the missing heartbeat then becomes a gap.
        """
        self._write_seen()
        self._gaps = self._store.outages.beat(self._served, master=_master(), silence=SILENCE_SECONDS)
        self._write_missed()

    def recover(self) -> None:
        """Process the gaps that the last heartbeat found, if they are old enough.

        It may take minutes, so it must not be called by what calls `beat`.
        """
        if not self._settings.recover:
            return
        now = time.time()
        for sid, gap in self._gaps.items():
            failed = self._failed.get(sid)
            if gap.to / 1000 + SETTLE_SECONDS > now or (failed and failed.until > time.monotonic()):
                continue
            account = self._settings.account(sid)
            if account is not None:
                # In a Cluster only this account may be concerned; a later call retries.
                with suppress(StoreUnavailable):
                    self._recover(account, gap)

    def stop(self) -> None:
        """Record that this process accepts no more messages; call it after the last `beat`.

        The periods that it has not written yet are gaps. So are those of refused signatures, because the next process
        does not know of them, and may be the one with the right key.
        """
        for sid in list(self._refused):
            self._refused_before_match.setdefault(sid, self._refused.pop(sid))
        self._write_missed()
        self._store.outages.stop(self._served, master=_master())

    def _write_seen(self) -> None:
        by_account: dict[str, list[str]] = {}
        for sid, identity in self._unwritten:
            by_account.setdefault(sid, []).append(identity)
        for sid, identities in by_account.items():
            with suppress(StoreUnavailable):  # written with the next beat
                self._store.outages.note_seen(sid, identities, now=time.time())
                self._unwritten -= {(sid, identity) for identity in identities}
        while len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]

    def _write_missed(self) -> None:
        now = time.time()
        for sid, since in self._missed.items():
            self._add(sid, Gap(int(since * 1000), int(now * 1000)))
        self._missed.clear()
        for sid, since in list(self._refused_before_match.items()):
            with suppress(StoreUnavailable):
                if self._store.outages.grant_look(sid):
                    self._add(sid, Gap(int(since * 1000), int(now * 1000)))
                del self._refused_before_match[sid]
        self._write_new()

    def _add(self, account_sid: str, gap: Gap) -> None:
        before = self._new.get(account_sid)
        self._new[account_sid] = before.merged(gap) if before else gap

    def _write_new(self) -> None:
        """Write new periods; a period that is not written stays for the next heartbeat."""
        new, self._new = self._new, {}
        written = self._store.outages.extend(new)
        for sid, gap in new.items():
            if sid not in written:
                self._add(sid, gap)

    # -- one gap -----------------------------------------------------------------------------------------------------

    def _recover(self, account: Account, gap: Gap) -> None:
        """Recover one gap, unless another process does; a failure is retried later."""
        token = new_token()
        if not self._store.outages.take_turn(account.sid, token, TURN_SECONDS):
            return
        try:
            found = self.heal(account, gap, lambda: self._store.outages.take_turn(account.sid, token, TURN_SECONDS))
        except StoreUnavailable:
            raise
        except RouterError as error:
            failed = self._failed.setdefault(account.sid, _Failed())
            failed.until = time.monotonic() + RETRY_SECONDS[min(failed.times, len(RETRY_SECONDS) - 1)]
            failed.times += 1
            self._report(account_sid=account.sid, reason=str(error), failures=failed.times)
        else:
            self._failed.pop(account.sid, None)
            self._store.outages.close(account.sid, gap)
            if found.accepted or found.left:
                self._store.outages.add_report(account.sid, found)
                self._report(account_sid=account.sid, accepted=found.accepted, left=dict(found.left))
        finally:
            self._store.outages.end_turn(account.sid, token)

    def heal(self, account: Account, gap: Gap, alive: Callable[[], bool]) -> Report:
        """Fetch the messages of a gap from Twilio and accept the missing ones, in their order, each once.

        `alive` renews the lock, and is called repeatedly. Raises TwilioError when Twilio does not answer,
        StoreUnavailable when the store does not; may be repeated safely.
        """
        now = time.time()
        window = min(WINDOW_SECONDS, self._settings.delivered_hours * 3600) - MARGIN_SECONDS
        since = max(gap.from_ / 1000 - MARGIN_SECONDS, now - window)
        until = gap.to / 1000 + MARGIN_SECONDS
        api = TwilioApi(self._settings, account)
        received = []
        for n, inbound in enumerate(api.inbound(datetime.fromtimestamp(since, UTC)), 1):
            if n > MOST:
                raise RouterError(
                    f"Twilio received over {MOST:,} messages since the gap began; fetch them in parts with "
                    "`router recover --since … --to …`"
                )
            if not n % PAGE:
                alive()
                time.sleep(PAUSE_SECONDS)
            if inbound.created.timestamp() <= until:
                received.append(inbound)
        missing = lost(received, account.sid, self._store, self._likelihood, now=datetime.now(UTC))
        if not missing:
            return Report(int(now * 1000), gap.from_, gap.to, 0, {})
        verdicts = self._verdicts(account, api, missing)
        left: Counter[str] = Counter()
        accepted = 0
        for n, each in enumerate(missing, 1):
            identity = each.message.contact_identity
            if reason := verdicts.get(identity, ""):
                left[f"{identity}: {reason}"] += 1
                metrics.RECOVERED.labels("reported").inc()
                continue
            is_new = accept(each, api, self._intake)
            accepted += is_new
            metrics.RECOVERED.labels("accepted" if is_new else "duplicate").inc()
            if not n % PAGE:
                alive()
        return Report(int(now * 1000), gap.from_, gap.to, accepted, dict(islice(left.most_common(), 20)))

    def _verdicts(self, account: Account, api: TwilioApi, missing: Iterable[Lost]) -> dict[str, str]:
        """Return, for each address with missing messages, why they may not be accepted; "" if they may."""
        identities = {each.message.contact_identity for each in missing}
        known = {each.identity: ("sms", each) for each in api.numbers()}
        with suppress(TwilioError):  # not every account has this resource: then its messages are only reported
            known |= {canonical(each.identity, "whatsapp"): ("whatsapp", each) for each in api.senders()}
        bases = self._bases()
        return {each: self._verdict(account, each, known.get(each), bases) for each in identities}

    def _verdict(self, account: Account, identity: str, found: tuple[str, Address] | None, bases: Sequence[str]) -> str:
        entries = self._store.flows.entries(account.sid, [identity])
        if not any(entry.flows for entry in entries) and not self._store.outages.was_seen(account.sid, identity):
            return "no flow names it, and no message came to it in the last 30 days"
        if not bases:
            return "ROUTER_PUBLIC_URL is not set, so it is not known which webhooks lead to this router"
        if found is None:
            return f"Twilio's API does not show the webhooks of {channel_of(identity)} addresses"
        channel, address = found
        if not address.leads_to(bases, channel):
            return "its webhook at Twilio does not lead to this router now"
        if address.fallback_url and not address.fallback_leads_to(bases, channel):
            return "its fallback URL leads elsewhere, where the message may have been handled"
        return ""


def _master() -> str:
    """Name the master process that forked this one."""
    return f"{machine()} {os.getppid()} {started(os.getppid())}"
