"""The pages of web chat: Twilio's test page at `/chat`, the widget's frame, its loader and its files.

Templates and files are in `templates` and `static`. Without JavaScript, `/chat` posts a plain
form and shows itself anew.
"""

import time
from typing import Any, Final

import gevent
from flask import Blueprint, Response, render_template, request

from router.chat.address import WebAddress
from router.chat.session import read_language
from router.errors import StoreUnavailable
from router.store.chats import Chat
from router.web.chat.files import File, load
from router.web.chat.guard import private, visitor_error
from router.web.chat.visitor import VisitorApi
from router.web.errors import ApiError
from router.web.request import Refusal

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
# The loader's name has no hash, for it is written into websites: a change reaches them within minutes.
_LOADER: Final = "widget.js"
_LOADER_CACHE: Final = "public, max-age=300"
# How long a page without JavaScript waits for an answer before it is shown again, and how often it looks.
_WAIT_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.2


def blueprint(api: VisitorApi) -> Blueprint:
    """Make the routes of the pages."""
    pages = Blueprint("chat_pages", __name__, url_prefix="/chat", template_folder="templates")
    files = load()
    hashed = {each.hashed: each for each in files.values()}

    def static(name: str) -> str:
        return f"/chat/static/{files[name].hashed}"

    def shown(template: str, address: WebAddress, ancestors: str, **more: Any) -> Response:
        language = read_language(request.values.get("lang", "")) or address.flow.web_chat.language
        page = render_template(
            template,
            address=address.resource(),
            language=language,
            account_sid=address.flow.account_sid if address.pinned else "",
            flex_flow_sid=address.flow.sid if address.pinned else "",
            static=static,
            files={name: static(name) for name in files},
            **more,
        )
        response = Response(page, content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = f"{_POLICY}; frame-ancestors {ancestors}"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return private(response)

    @pages.get("")
    def page() -> Response:
        address = api.address(request.args, account="accountSid", flow="flexFlowSid")
        return shown("page.html", address, "'none'", messages=[], token="", error="")

    @pages.post("")
    def post() -> Response:
        return _post(api, shown)

    @pages.get("/frame")
    def frame() -> Response:
        address = api.address(request.args, account="accountSid", flow="flexFlowSid")
        allowed = " ".join(("'self'", *address.flow.web_chat.allowed_origins))
        return shown("frame.html", address, allowed)

    @pages.get(f"/{_LOADER}")
    def loader() -> Response:
        return _file(files.get(_LOADER), _LOADER_CACHE)

    @pages.get("/static/<path:name>")
    def file(name: str) -> Response:
        return _file(hashed.get(name), _FOR_EVER)

    for error in (ApiError, StoreUnavailable, Refusal):
        pages.register_error_handler(error, visitor_error)
    return pages


def _file(found: File | None, cache: str) -> Response:
    if found is None:
        raise ApiError(404, 20404, "There is no such file")
    response = Response(found.content, content_type=found.content_type)
    response.headers["Cache-Control"] = cache
    response.headers["X-Content-Type-Options"] = "nosniff"
    # The loader and its files are for pages of other sites.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    response.set_etag(found.hashed)
    response.make_conditional(request)
    return response


def _post(api: VisitorApi, shown: Any) -> Response:
    """Take a message from the plain form, begin a chat where there is none, and show the page anew."""
    form = request.form
    address = api.address(form, account="accountSid", flow="flexFlowSid")
    token, error = form.get("token", ""), ""
    chat: Chat | None = None
    try:
        if token:
            chat = api.guard.chat(api.guard.visitor(token=token))
        else:
            data = {name.removeprefix("form."): text for name, text in form.items() if name.startswith("form.")}
            chat = api.begin(address, {"form": data, "language": form.get("lang", "")}).chat
            token = api.token(chat, address.sid)["token"]
        if form.get("body", "").strip():
            sent = api.send(chat, form["body"], None, None)
            _wait(api, chat, sent.index)
    except ApiError as refused:
        error = refused.message
    state = api.state(chat) if chat else {"messages": [], "state": "active"}
    response: Response = shown("page.html", address, "'none'", messages=state["messages"], token=token, error=error)
    return response


def _wait(api: VisitorApi, chat: Chat, index: int) -> None:
    """Wait a little for an answer to a message."""
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        look = api.store.chats.look(chat.account_sid, chat.sid, "after", index)
        if look is None or any(message.side != "visitor" for _, message in look.messages):
            return
        gevent.sleep(_LOOK_SECONDS)
