# ruff: noqa: INP001 - gunicorn imports it by name; it is not part of the package
"""The simplest solution: verify, look up the target in Redis, forward, and return its answer.

It stores nothing: a message is lost if its target does not answer, and a duplicate is forwarded again.
"""

import os

import redis
import requests
from flask import Flask, Response, abort, request
from requests.adapters import HTTPAdapter
from twilio.request_validator import RequestValidator

app = Flask("plain")
validator = RequestValidator(os.environ["TWILIO_AUTH_TOKEN"])
flows = redis.Redis.from_url(os.environ["ROUTER_REDIS_URL"])
session = requests.Session()
session.mount("http://", HTTPAdapter(pool_maxsize=256))


@app.post("/webhooks/sms")
def webhook() -> Response:
    """Verify and forward."""
    body = request.get_data()
    if not validator.validate(request.url, request.form, request.headers.get("X-Twilio-Signature", "")):
        abort(403)
    url = flows.get(f"plain:{request.form['To']}")
    if not isinstance(url, bytes):
        abort(404)
    answer = session.post(url.decode(), data=body, headers={"Content-Type": request.content_type or ""}, timeout=10)
    return Response(answer.content, answer.status_code, content_type=answer.headers["Content-Type"])
