"""Serves webhooks without Flask's dispatch, which would take half as much time again; the view is the same.

Flask serves all other requests, including webhooks that are not a POST to a known channel: `webhooks.blueprint`.
"""

from collections.abc import Iterable
from typing import Final
from wsgiref.types import StartResponse, WSGIEnvironment

from flask import Flask

from router.web.public import Wsgi
from router.web.webhooks import PATHS, WebhookView

_PREFIX: Final = "/webhooks/"


def with_front(application: Wsgi, app: Flask, view: WebhookView) -> Wsgi:
    """Put the webhooks in front of an application.

    Args:
        application: serves everything else.
        app: logs and answers the exceptions of the view.
        view: the view of the webhooks.
    """

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        channel = path[len(_PREFIX) :]
        if channel not in PATHS or environ["REQUEST_METHOD"] != "POST" or not path.startswith(_PREFIX):
            answer: Iterable[bytes] = application(environ, start_response)
            return answer
        try:
            reply = view.webhook(channel, environ)
        except Exception as error:  # noqa: BLE001 - Flask logs and answers it, as for its own views
            with app.request_context(environ):
                response = app.make_response(app.handle_exception(error))
            return response(environ, start_response)
        return reply.write(start_response)

    return serve
