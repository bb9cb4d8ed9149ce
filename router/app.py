"""Composes the process: settings, store, integrations, delivery and the web, wired once."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from router import metrics
from router.chat.ending import Ending
from router.chat.streams import Streams
from router.delivery.attempt import AttemptReport
from router.delivery.chat_mirror import ChatMirror
from router.delivery.deliverer import Deliverer
from router.delivery.intake import Intake
from router.delivery.late_reply import Replier
from router.delivery.session_watch import SessionWatch
from router.delivery.sweeper import Sweeper
from router.delivery.upkeep import keep_up
from router.errors import InvalidFlow, StoreUnavailable
from router.integrations import Integrations, build
from router.integrations.proxy_sessions import ProxySessions
from router.language.detector import shared
from router.log import make_log
from router.message.twiml import TRACEBACK
from router.metric_buffer import WRITE_SECONDS
from router.process.presence import Presence
from router.queries.bulk_replay import BulkReplayer
from router.queries.outage import BEAT_SECONDS, Healer
from router.settings import Settings, load
from router.store import Store, connect
from router.store.durability import refusal, warning
from router.store.flows import FlowChanged
from router.store.lanes import Lease
from router.tunnel_address import TunnelWatch
from router.web import addresses, contacts, deliveries, flex_flows, health, openapi, web_events, webhooks
from router.web.auth import Unauthenticated
from router.web.auth import refusal as login_refusal
from router.web.chat.build import blueprints as chat_blueprints
from router.web.console import blueprint as console_blueprint
from router.web.errors import ApiError, changed_response, error_response, flow_response, http_response
from router.web.front import with_front
from router.web.public import with_tunnel
from router.web.rule import QuickFlask

# How long a stopping process waits for its attempts: an attempt's 22 s and the time to settle it. With what gunicorn
# waits for connections (router/process/gunicorn_conf.py) it stays below the graceful stop's 40 s.
STOP_SECONDS = 23.0
# What late answers may take at the end when the attempts took all of that.
LATE_SECONDS = 2.0
# Bytes of a form that the REST resources read: 64 KiB of FallbackTwiml are three times as many when percent-encoded.
FORM_MOST = 512 * 1024
# How often the store is asked what it promises: its settings can be changed while it runs.
WATCH_SECONDS = 10.0


class Router:
    """The running parts of one process."""

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        store: Store,
        integrations: Integrations,
        deliverer: Deliverer,
        sweeper: Sweeper,
        replier: Replier,
        webhook: webhooks.WebhookView,
        healer: Healer,
        fault: Callable[[str], None],
        presence: Presence,
        streams: Streams,
        ending: Ending,
        watch: SessionWatch,
        bulk: BulkReplayer,
        log: Any,
    ) -> None:
        self.store = store
        self.integrations = integrations
        self.deliverer = deliverer
        self.sweeper = sweeper
        self.replier = replier
        self.webhook = webhook
        self.healer = healer
        self.fault = fault
        self.presence = presence
        self.streams = streams
        self.ending = ending
        self.watch = watch
        self.bulk = bulk
        self.log = log

    def start(self, alive: Callable[[], bool]) -> None:
        """Start the sweeper; `alive` returns false when the process is to stop."""
        self.deliverer.alive = alive
        gevent.spawn(self.sweeper.run)
        gevent.spawn(self._watch_store)
        gevent.spawn(self._heal_outages)
        gevent.spawn(self._write_metrics)
        gevent.spawn(self.presence.run)
        gevent.spawn(self.bulk.run, self._stopping)
        gevent.spawn(self.streams.watch, self._stopping)
        gevent.spawn(self.store.chat_events.listen, self.streams.hear, self.streams.wake, self._stopping)
        gevent.spawn(self.watch.run, lambda: self.deliverer.stopping)

        gevent.spawn(
            keep_up,
            self.store,
            stopping=lambda: self.deliverer.stopping,
            forgotten=self._forgotten,
            untold=self.ending.tell,
            fault=lambda reason: self.log.error("fault", reason=reason),
        )

    def _stopping(self) -> bool:
        return self.deliverer.stopping

    def _watch_store(self) -> None:
        """Accept no messages while the store could lose them, and log what the store does not guarantee."""
        before = ""
        while not self.deliverer.stopping:
            with contextlib.suppress(StoreUnavailable):  # which the webhook finds out by itself
                findings = self.store.promise.findings()
                self.webhook.refusing = refusal(findings)
                now = "; ".join(filter(None, (self.webhook.refusing, warning(findings))))
                if now != before:
                    before = now
                    self.log.warning("store", reason=now or "the store is safe for messages again")
            gevent.sleep(WATCH_SECONDS)

    def _heal_outages(self) -> None:
        """Note signs of life, and fetch what was missed while there were none."""
        while not self.deliverer.stopping:
            try:
                self.healer.beat()
            except StoreUnavailable:  # the silence is what a later beat finds
                pass
            except Exception as error:  # noqa: BLE001 - whatever it is, messages are taken and the beat goes on
                self.fault(f"recovery: {type(error).__name__}: {error}")
            gevent.sleep(BEAT_SECONDS)

    def _write_metrics(self) -> None:
        while True:
            metrics.write()
            gevent.sleep(WRITE_SECONDS)

    def _forgotten(self, account_sid: str) -> None:
        reason = "no router had this account in its settings for a long time: its data in the store is erased"
        self.log.warning("account", account_sid=account_sid, reason=reason)

    def stop(self) -> None:
        """Take no more leases, and wait for the attempts in flight to be settled, and for late answers to be sent."""
        end = time.monotonic() + STOP_SECONDS
        self.presence.stop()
        self.replier.hurry()
        self.deliverer.stop(STOP_SECONDS)
        self.replier.stop(max(LATE_SECONDS, end - time.monotonic()))
        self.integrations.close()
        self.store.close()
        metrics.write()
        self.log.flush()


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Make the application from the environment; raise `SettingsError` for settings that do not do."""
    settings = load(os.environ if environ is None else environ)
    log = make_log(pid=os.getpid(), later=gevent.get_hub().loop.run_callback)
    store = connect(settings)
    integrations = build(settings, settings.handlers, memory=store.bindings)

    def report(attempt: AttemptReport) -> None:
        if attempt.outcome == "delivered":
            mirror.delivered(attempt.lease)
        metrics.attempted(attempt.integration_type, attempt.target, attempt.outcome, attempt.failure, attempt.seconds)
        # A message that is given up needs a person; one that is tried again may need one soon.
        levels = {"undelivered": log.error, "unrouted": log.warning, "retry": log.warning}
        excerpt = attempt.excerpt
        levels.get(attempt.outcome, log.info)(
            "attempt",
            account_sid=attempt.lease.account_sid,
            message_sid=attempt.lease.message_sid,
            flex_flow_sid=attempt.lease.flow_sid,
            integration_type=attempt.integration_type,
            target=attempt.target,
            attempt=attempt.lease.attempts,
            round=attempt.lease.round,
            outcome=attempt.outcome,
            failure=attempt.failure,
            status=attempt.status,
            settled=attempt.settled,
            reason=attempt.reason,
            # What a target or a handler said may quote the message: that is on the delivery, and only there.
            frames=excerpt.text if excerpt and excerpt.type == TRACEBACK else "",
            content_type=excerpt.type if excerpt and excerpt.type != TRACEBACK else "",
            seconds=round(attempt.seconds, 4),
        )

    mirror = ChatMirror(store, integrations, settings, lambda: deliverer.stopping)

    def fault(reason: str) -> None:
        log.error("fault", reason=reason)

    def recovery(**found: Any) -> None:
        log.warning("recovery", **found)

    detector = shared()
    likelihood = detector.likelihood

    def replied(lease: Lease, reason: str) -> None:
        log.info("late_answer", account_sid=lease.account_sid, message_sid=lease.message_sid, reason=reason)

    replier = Replier(store, integrations.messages, settings, replied)
    deliverer = Deliverer(store, integrations, settings, report, replier.begin)
    sweeper = Sweeper(store, deliverer, fault)
    app = QuickFlask("router", static_folder=None)
    tunnel = TunnelWatch(settings.data_dir)
    app.config["MAX_CONTENT_LENGTH"] = FORM_MOST
    intake = Intake(store, deliverer, likelihood)
    healer = Healer(settings, store, intake, likelihood, bases=lambda: _bases(settings, tunnel), report=recovery)
    webhook = webhooks.WebhookView(settings, store, deliverer, integrations, intake, healer, log)
    watch = SessionWatch(store, settings, ProxySessions(integrations.rest), fault)
    presence = Presence(settings, store, detector.loaded, deliverer.targets.shut)
    streams = Streams()
    ending = Ending(store, intake)
    app.extensions["router"] = Router(
        store,
        integrations,
        deliverer,
        sweeper,
        replier,
        webhook,
        healer,
        fault,
        presence,
        streams,
        ending,
        watch,
        BulkReplayer(store, likelihood, settings.by_sid, gevent.sleep, fault),
        log,
    )
    front = with_front(app.wsgi_app, app, webhook)
    app.wsgi_app = with_tunnel(front, tunnel, settings.tunnel_port)  # type: ignore[assignment, method-assign]
    app.register_blueprint(webhooks.blueprint(webhook))
    app.register_blueprint(web_events.blueprint(webhook, store, mirror))

    def missed(error: NotFound) -> Response:
        response = http_response(error)
        webhook.missed(request.environ, response.status_code)
        return response

    for each in (
        flex_flows.blueprint(settings, store),
        addresses.blueprint(settings, store),
        deliveries.blueprint(settings, store, likelihood),
        contacts.blueprint(settings, store),
        *chat_blueprints(settings, store, intake, ending, streams, webhook.check_store, log),
        health.blueprint(settings, store),
        openapi.blueprint(settings),
        console_blueprint(settings, store, likelihood, ending),
    ):
        app.register_blueprint(each)
    app.register_error_handler(ApiError, error_response)
    app.register_error_handler(Unauthenticated, login_refusal(settings, store.failures))
    app.register_error_handler(InvalidFlow, flow_response)
    app.register_error_handler(FlowChanged, changed_response)
    app.register_error_handler(HTTPException, http_response)
    app.register_error_handler(NotFound, missed)
    app.register_error_handler(StoreUnavailable, _store_error)
    return app


def _bases(settings: Settings, tunnel: TunnelWatch) -> tuple[str, ...]:
    """Return the public bases that lead here now: those of the settings, and the tunnel's."""
    opened = tunnel.url()
    return (*settings.public_urls, *([opened] if opened else []))


def _store_error(error: StoreUnavailable) -> Response:
    return error_response(ApiError(503, 20503, str(error)))
