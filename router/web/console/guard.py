"""Checks host, origin, session and role of every request before it is handled."""

import time
from typing import Any, Final
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, request
from werkzeug.exceptions import HTTPException

from router.errors import RouterError, StoreUnavailable
from router.web import same_origin
from router.web.console.desk import Desk, View, go, link
from router.web.console.page import HEADERS, page
from router.web.public import doubt, page_base

# The prefix __Host- binds the cookie to this host; browsers refuse it over plain HTTP.
SECURE_COOKIE: Final = "__Host-router"
PLAIN_COOKIE: Final = "router_session"
# Pages that need no session, and actions that viewers may take.
_OPEN: Final = frozenset(("console.file", "console.sign_in", "console.sign_in_with"))
_FOR_VIEWERS: Final = frozenset(("console.sign_in_with", "console.sign_out"))
_LOCAL: Final = ("http://localhost", "http://127.", "http://[::1]")


class Refused(RouterError):  # noqa: N818 - it is an answer
    """An action or page is refused: the HTTP status, a heading and the reason."""

    def __init__(self, status: int, heading: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.heading = heading


def register(console: Blueprint, desk: Desk) -> None:
    """Check every request, and add the headers to every answer."""

    @console.url_value_preprocessor
    def take_account(_endpoint: str | None, values: dict[str, Any] | None) -> None:
        g.account_sid = (values or {}).pop("account_sid", "")

    @console.before_request
    def check() -> Response | None:
        return _check(desk)

    @console.after_request
    def add_headers(response: Response) -> Response:
        response.headers.update(HEADERS)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    @console.errorhandler(Refused)
    def refuse(error: Refused) -> Response:
        return page("refused.html", error.status, heading=error.heading, reason=str(error))

    @console.errorhandler(HTTPException)
    def fail(error: HTTPException) -> Response:
        return page("refused.html", error.code or 500, heading=error.name, reason=error.description or "")

    @console.errorhandler(StoreUnavailable)
    def wait(error: StoreUnavailable) -> Response:
        # Sessions cannot be checked without the store, so the page has only the values of this request.
        typed = [] if request.endpoint in _OPEN else list(request.form.items(multi=True))
        response = page("store_away.html", 503, reason=str(error), action=_path(), typed=typed)
        response.headers["Retry-After"] = "5"
        return response


def _check(desk: Desk) -> Response | None:
    settings, environ = desk.settings, request.environ
    base = page_base(environ, settings)
    g.base, g.local = base, base.startswith(_LOCAL)
    if not base:
        raise Refused(403, "Unknown host name", doubt(environ, settings))
    if reason := same_origin.refusal(environ, settings, page=True, base=base):
        raise Refused(403, "Not from this page", f"{reason}. Nothing was done.")
    if request.endpoint in _OPEN:
        return None
    now = time.time()
    id_ = request.cookies.get(cookie_name(base), "")
    passwords = {"admin": settings.admin_password or "", "viewer": settings.viewer_password or ""}
    known = {role: password for role, password in passwords.items() if password}
    session = desk.store.sessions.find(id_, known, now=now) if id_ else None
    if session is None:
        return _to_sign_in(base, was_in=bool(id_))
    g.console = View(
        base, session, id_, settings.account(g.account_sid) if g.account_sid else None, len(settings.accounts), now
    )
    if g.account_sid and g.console.account is None:
        raise Refused(404, "Not found", "There is no such page.")
    if request.method == "POST" and session.role != "admin" and request.endpoint not in _FOR_VIEWERS:
        raise Refused(
            403, "Viewers cannot change anything", "Sign in with the admin password to do this. Nothing was changed."
        )
    return None


def cookie_name(base: str) -> str:
    """Return the name of the session's cookie for pages at a base URL."""
    return SECURE_COOKIE if base.startswith("https:") else PLAIN_COOKIE


def _to_sign_in(base: str, *, was_in: bool) -> Response:
    wanted = _path() if request.method == "GET" else ""
    return go(link(base, "sign-in", {"next": wanted, "ended": "1" if was_in else ""}))


def _path() -> str:
    query = request.query_string.decode("latin-1")
    return urlsplit(str(g.base)).path + request.path + (f"?{query}" if query else "")
