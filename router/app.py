"""The Flask application of one process: its endpoints, over the running parts of `router.runtime`."""

import os
from collections.abc import Iterator, Mapping

import gevent
from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from router.errors import InvalidFlow, StoreUnavailable
from router.log import make_log
from router.runtime import Router
from router.settings import load
from router.store.flows import FlowChanged
from router.web import addresses, contacts, deliveries, flex_flows, health, openapi, web_events, webhooks
from router.web.auth import Unauthenticated
from router.web.auth import refusal as login_refusal
from router.web.chat.build import blueprints as chat_blueprints
from router.web.console import blueprint as console_blueprint
from router.web.errors import ApiError, changed_response, error_response, flow_response, http_response
from router.web.front import with_front
from router.web.public import with_tunnel
from router.web.rule import QuickFlask

# Bytes of a form that the REST resources read: 64 KiB of FallbackTwiml are three times as many when percent-encoded.
FORM_MOST = 512 * 1024


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Make the application from the environment; raise `SettingsError` if the settings are invalid.

    `extensions["router"]` has the running parts. The server starts and stops them.
    """
    settings = load(os.environ if environ is None else environ)
    router = Router(settings, make_log(pid=os.getpid(), later=gevent.get_hub().loop.run_callback))
    app = QuickFlask("router", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = FORM_MOST
    app.extensions["router"] = router
    front = with_front(app.wsgi_app, app, router.webhook)
    app.wsgi_app = with_tunnel(front, router.tunnel, settings.tunnel_port)  # type: ignore[assignment, method-assign]
    for each in _blueprints(router):
        app.register_blueprint(each)
    _handle_errors(app, router)
    return app


def _blueprints(router: Router) -> Iterator[Blueprint]:
    """Yield the endpoints: webhooks, REST resources, web chat, health and the console."""
    settings, store = router.settings, router.store
    yield webhooks.blueprint(router.webhook)
    yield web_events.blueprint(router.webhook, store, router.mirror)
    yield flex_flows.blueprint(settings, store)
    yield addresses.blueprint(settings, store)
    yield deliveries.blueprint(settings, store, router.likelihood)
    yield contacts.blueprint(settings, store)
    yield from chat_blueprints(
        settings, store, router.intake, router.ending, router.streams, router.webhook.check_store, router.log
    )
    yield health.blueprint(settings, store)
    yield openapi.blueprint(settings)
    yield console_blueprint(settings, store, router.likelihood, router.ending)


def _handle_errors(app: Flask, router: Router) -> None:
    """Give every error its answer in Twilio's form."""

    def missed(error: NotFound) -> Response:
        response = http_response(error)
        router.webhook.missed(request.environ, response.status_code)
        return response

    app.register_error_handler(ApiError, error_response)
    app.register_error_handler(Unauthenticated, login_refusal(router.settings, router.store.failures))
    app.register_error_handler(InvalidFlow, flow_response)
    app.register_error_handler(FlowChanged, changed_response)
    app.register_error_handler(HTTPException, http_response)
    app.register_error_handler(NotFound, missed)
    app.register_error_handler(StoreUnavailable, _store_error)


def _store_error(error: StoreUnavailable) -> Response:
    return error_response(ApiError(503, 20503, str(error)))
