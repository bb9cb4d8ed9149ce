"""The running parts of one process: made once from the settings, started with the process, and stopped with it."""

import contextlib
import time
from collections.abc import Callable, Collection
from typing import Any

import gevent

from router import metrics
from router.chat.ending import Ending
from router.chat.streams import Streams
from router.delivery.chat_mirror import ChatMirror
from router.delivery.deliverer import Deliverer
from router.delivery.intake import Intake
from router.delivery.late_reply import Replier
from router.delivery.report import AttemptReport, write_report
from router.delivery.session_watch import SessionWatch
from router.delivery.sweeper import Sweeper
from router.delivery.upkeep import keep_up
from router.errors import StoreUnavailable, unexpected
from router.integrations import build
from router.integrations.proxy_sessions import ProxySessions
from router.language.detector import shared
from router.metric_buffer import WRITE_SECONDS
from router.process.presence import Presence
from router.queries.bulk_replay import BulkReplayer
from router.queries.outage import BEAT_SECONDS, Healer
from router.settings import Settings
from router.store import connect
from router.store.durability import refusal, warning
from router.store.lanes import Lease
from router.store.outages import Gap
from router.store.processes import SECONDS, Expired
from router.tunnel_address import TunnelWatch
from router.web.webhooks import WebhookView

# The part of a graceful stop that is not for attempts: gunicorn's wait for connections, and what follows the attempts
# (router/process/gunicorn_conf.py). Of 40 s it leaves 23: an attempt's 22 s and the time to settle it.
OTHER_STOP_SECONDS = 17.0
# The minimum time for late answers, if the attempts used all their time.
LATE_SECONDS = 2.0
# The interval of the checks of the store's guarantees: its settings can change while it runs.
WATCH_SECONDS = 10.0


class Router:
    """The running parts of one process."""

    def __init__(self, settings: Settings, log: Any) -> None:
        self.settings, self.log = settings, log
        self.tunnel = TunnelWatch(settings.data_dir)
        self.store = connect(settings)
        self.integrations = build(settings, settings.handlers, memory=self.store.bindings)
        detector = shared()
        self.likelihood = detector.likelihood
        # Delivery
        self.replier = Replier(self.store, self.integrations.messages, settings, self._replied)
        self.deliverer = Deliverer(self.store, self.integrations, settings, self._attempted, self.replier.begin)
        self.sweeper = Sweeper(self.store, self.deliverer, self.fault)
        self.mirror = ChatMirror(self.store, self.integrations, settings, self._stopping)
        # Intake
        self.intake = Intake(self.store, self.deliverer, self.likelihood)
        self.healer = Healer(
            settings, self.store, self.intake, self.likelihood, bases=self._bases, report=self._recovered
        )
        self.webhook = WebhookView(
            settings, self.store, self.deliverer, self.integrations, self.intake, self.healer, log
        )
        # Web chat
        self.streams = Streams()
        self.ending = Ending(self.store, self.intake)
        # Work in the background
        self.presence = Presence(settings, self.store, detector.loaded, self.deliverer.slots.shut, self._process_killed)
        self.watch = SessionWatch(self.store, settings, ProxySessions(self.integrations.rest), self.fault)
        self.bulk = BulkReplayer(self.store, self.likelihood, settings.by_sid, gevent.sleep, self.fault)

    def start(self, alive: Callable[[], bool]) -> None:
        """Start all background work; `alive` returns False when the process shall stop."""
        self.deliverer.alive = alive
        gevent.spawn(self.sweeper.run)
        gevent.spawn(self._watch_store)
        gevent.spawn(self._write_heartbeats)
        gevent.spawn(self._recover_missed)
        gevent.spawn(self._write_metrics)
        gevent.spawn(self.presence.run)
        gevent.spawn(self.bulk.run, self._stopping)
        gevent.spawn(self.streams.watch, self._stopping)
        gevent.spawn(self.store.chat_events.listen, self.streams.hear, self.streams.wake, self._stopping)
        gevent.spawn(self.watch.run, self._stopping)
        gevent.spawn(
            keep_up,
            self.store,
            stopping=self._stopping,
            forgotten=self._forgotten,
            untold=self.ending.tell,
            fault=self.fault,
        )

    def fault(self, reason: str) -> None:
        """Log an error that does not concern a single message."""
        self.log.error("fault", reason=reason)

    def _stopping(self) -> bool:
        return self.deliverer.stopping

    def _bases(self) -> tuple[str, ...]:
        """Return the current public base URLs: those of the settings, and the tunnel's."""
        opened = self.tunnel.url()
        return (*self.settings.public_urls, *([opened] if opened else []))

    def _attempted(self, report: AttemptReport) -> None:
        if report.outcome == "delivered":
            self.mirror.delivered(report.lease)
        write_report(report, self.log)

    def _replied(self, lease: Lease, reason: str) -> None:
        self.log.info(
            "late_answer",
            account_sid=lease.account_sid,
            message_sid=lease.message_sid,
            flex_flow_sid=lease.flow_sid,
            target=lease.flow.target if lease.flow else "",
            reason=reason,
        )

    def _recovered(self, **found: Any) -> None:
        self.log.warning("recovery", **found)

    def _process_killed(self, expired: Expired, account_sids: Collection[str]) -> None:
        self.healer.killed(account_sids, Gap(expired.from_, expired.to))
        was = f"was killed, or could not reach the store for {SECONDS:.0f} s"
        then = "are fetched from Twilio" if self.settings.recover else "are at Twilio: run `router recover`"
        self.log.warning("process", reason=f"{expired.process} {was}; messages that it may have missed {then}")

    def _watch_store(self) -> None:
        """Accept no messages while the store could lose them, and log what the store does not guarantee."""
        before = ""
        while not self.deliverer.stopping:
            with contextlib.suppress(StoreUnavailable):  # webhooks find this out by their own calls
                findings = self.store.promise.findings()
                self.webhook.refusing = refusal(findings)
                now = "; ".join(filter(None, (self.webhook.refusing, warning(findings))))
                if now != before:
                    before = now
                    self.log.warning("store", reason=now or "the store is safe for messages again")
            gevent.sleep(WATCH_SECONDS)

    def _write_heartbeats(self) -> None:
        """Write heartbeats, and the periods in which messages may have been missed."""
        while not self.deliverer.stopping:
            with contextlib.suppress(StoreUnavailable):  # a later heartbeat finds the gap
                self.healer.beat()
            gevent.sleep(BEAT_SECONDS)

    def _recover_missed(self) -> None:
        """Recover the messages of these periods; it may take minutes, so it is not done between two heartbeats."""
        while not self.deliverer.stopping:
            try:
                self.healer.recover()
            except Exception as error:  # noqa: BLE001 - the next period may be recovered
                self.fault(f"recovery: {unexpected(error)}")
            gevent.sleep(BEAT_SECONDS)

    def _write_metrics(self) -> None:
        while True:
            metrics.write()
            gevent.sleep(WRITE_SECONDS)

    def _forgotten(self, account_sid: str) -> None:
        reason = "no router had this account in its settings for a long time: its data in the store is erased"
        self.log.warning("account", account_sid=account_sid, reason=reason)

    def stop(self) -> None:
        """Take no more leases, and wait until attempts under way are settled and late answers are sent."""
        seconds = self.settings.stop_seconds - OTHER_STOP_SECONDS
        end = time.monotonic() + seconds
        self.deliverer.close()
        self.presence.stop()
        with contextlib.suppress(StoreUnavailable):  # then the entry of this process expires, which is a gap, too
            self.healer.stop()
            self.presence.withdraw()
        self.replier.hurry()
        self.deliverer.wait(seconds)
        self.replier.stop(max(LATE_SECONDS, end - time.monotonic()))
        self.integrations.close()
        self.store.close()
        metrics.write()
        self.log.flush()
