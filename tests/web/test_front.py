"""Webhooks are served before Flask; Flask's own route would give the same answers."""

from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from router.app import create_app
from tests.e2e.service import ACCOUNT, BASE, TOKEN, parameters
from tests.e2e.world import sign

_FORM = "application/x-www-form-urlencoded"
_FIELDS = parameters(1, "+15551230000")


@pytest.fixture
def app(redis_url: str) -> Flask:
    """The application over an empty store."""
    return create_app(
        {
            "TWILIO_ACCOUNT_SID": ACCOUNT,
            "TWILIO_AUTH_TOKEN": TOKEN,
            "ROUTER_REDIS_URL": redis_url,
            "ROUTER_PUBLIC_URL": BASE,
        }
    )


def _answer(application: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[Any, ...]:
    content_type = headers.pop("Content-Type", _FORM)
    environ = EnvironBuilder(
        path, method=method, data=body, headers=list(headers.items()), content_type=content_type
    ).get_environ()
    chunks, status, given = run_wsgi_app(application, environ, buffered=True)
    return status, sorted(given), b"".join(chunks)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers"),
    [
        ("POST", "/webhooks/sms", urlencode(_FIELDS), {"X-Twilio-Signature": sign("/webhooks/sms", _FIELDS)}),
        ("POST", "/webhooks/sms", urlencode(_FIELDS), {"X-Twilio-Signature": "wrong"}),
        ("POST", "/webhooks/sms", urlencode(_FIELDS), {}),
        ("POST", "/webhooks/whatsapp", urlencode(_FIELDS), {"X-Twilio-Signature": sign("/webhooks/whatsapp", _FIELDS)}),
        ("POST", "/webhooks/sms", "{}", {"Content-Type": "application/json"}),
        ("POST", "/webhooks/message", "&" * 500, {}),
        ("POST", "/webhooks/pigeon", urlencode(_FIELDS), {}),
        ("POST", "/webhooks/", "", {}),
        ("POST", "/webhooks/sms/", "", {}),
        ("PUT", "/webhooks/sms", "", {}),
        ("OPTIONS", "/webhooks/sms", "", {}),
    ],
)
def test_the_front_answers_as_flask_does(
    app: Flask, method: str, path: str, body: str, headers: dict[str, str]
) -> None:
    """For messages, refusals and other paths, the fast route answers with Flask's status, headers and body."""
    front = _answer(app.wsgi_app, method, path, body.encode(), dict(headers))
    flask = _answer(lambda *given: Flask.wsgi_app(app, *given), method, path, body.encode(), dict(headers))
    assert front == flask


def test_a_view_that_fails_is_answered_as_flask_does(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    """An exception in the webhook view is logged and answered with 500, as by Flask."""
    app.extensions["router"].webhook._answerer = None
    headers = {"X-Twilio-Signature": sign("/webhooks/sms", _FIELDS)}
    body = urlencode(_FIELDS).encode()
    front = _answer(app.wsgi_app, "POST", "/webhooks/sms", body, dict(headers))
    flask = _answer(lambda *given: Flask.wsgi_app(app, *given), "POST", "/webhooks/sms", body, dict(headers))
    assert front == flask
    assert front[0].startswith("500")
    assert caplog.text.count("AttributeError") >= 2
