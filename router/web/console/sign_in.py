"""Sign-in with one of two passwords, and sign-out. The sessions are in the store."""

import hmac
import time
from urllib.parse import urlsplit

from flask import Blueprint, Response, g, request

from router.web.console.desk import Desk, go, link, view
from router.web.console.guard import Refused, cookie_name
from router.web.console.page import page
from router.web.public import client_address

_MOST = 4096  # the maximum bytes of the form: anyone may send it


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""

    @console.get("/sign-in")
    def sign_in() -> Response:
        return _form(ended="ended" in request.args)

    @console.post("/sign-in")
    def sign_in_with() -> Response:
        request.max_content_length = _MOST
        password = request.form.get("password", "")
        client = client_address(request.environ, desk.settings)
        if seconds := desk.store.failures.attempt(client):
            response = _form(429, wrong=f"Too many attempts. Try again in {seconds} s.")
            response.headers["Retry-After"] = str(seconds)
            return response
        role = _role(desk, password)
        if not role:
            return _form(403, wrong="This is not one of the passwords.")
        desk.store.failures.succeeded(client)
        id_ = desk.store.sessions.begin(role, password, now=time.time())
        response = go(_next() or link(g.base, ""))
        secure = g.base.startswith("https:")
        # Strict over plain HTTP, where browsers may not send Sec-Fetch-Site.
        response.set_cookie(
            cookie_name(g.base), id_, secure=secure, httponly=True, samesite="Lax" if secure else "Strict", path="/"
        )
        return response

    @console.post("/sign-out")
    def sign_out() -> Response:
        everywhere = request.form.get("everywhere") == "1"
        if everywhere and not view().is_admin:
            raise Refused(
                403, "Viewers cannot change anything", "Only the admin can sign everyone out. Nothing was done."
            )
        if everywhere:
            desk.store.sessions.end_all(now=time.time())
            for account in desk.settings.accounts:
                desk.store.changes.note(account.sid, view().who, "signed out everywhere")
        desk.store.sessions.end(view().id_)
        response = go(link(g.base, "sign-in"))
        response.delete_cookie(
            cookie_name(g.base), path="/", secure=g.base.startswith("https:"), httponly=True, samesite="Lax"
        )
        return response


def _role(desk: Desk, password: str) -> str:
    """Return the role of a password, "" for none; both are compared, in constant time."""
    role = ""
    for name, right in (("viewer", desk.settings.viewer_password), ("admin", desk.settings.admin_password)):
        if right is not None and hmac.compare_digest(right.encode(), password.encode(errors="replace")):
            role = name
    return role


def _form(status: int = 200, *, wrong: str = "", ended: bool = False) -> Response:
    return page("sign_in.html", status, wrong=wrong, ended=ended, wanted=_next())


def _next() -> str:
    """Return the page to show after sign-in: only a path of the console is accepted."""
    wanted = request.values.get("next", "")
    parts = urlsplit(wanted)
    console = link(g.base, "")
    return wanted if not parts.scheme and not parts.netloc and wanted.startswith(console) and "\\" not in wanted else ""
