"""The pages of web chat: Twilio's test page at `/chat`, the widget's frame, its loader and its files.

Without JavaScript, `/chat` is a plain HTML form that is posted and shown again.
"""

import gzip
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import gevent
from flask import Blueprint, Response, render_template, request

from router.chat.address import WebAddress
from router.errors import StoreUnavailable
from router.store.chat_record import Chat
from router.web.chat.files import File, Files, lean, load
from router.web.chat.guard import private, visitor_error
from router.web.chat.visitor import VisitorApi
from router.web.chat.words import Words, direction, in_words
from router.web.errors import ApiError
from router.web.request import Refusal

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; require-trusted-types-for 'script'"
)
_FOR_EVER: Final = "public, max-age=31536000, immutable"
# The loader's name has no hash, because websites refer to it: a change reaches them within minutes.
_LOADER: Final = "widget.js"
_LOADER_CACHE: Final = "public, max-age=300"
# The maximum number of characters of a website's origin that are shown.
_ORIGIN_MOST: Final = 100
# Seconds that a page without JavaScript waits for an answer, and between two polls.
_WAIT_SECONDS: Final = 3.0
_LOOK_SECONDS: Final = 0.2
_FIELD: Final = "form."


@dataclass(slots=True)
class _Plain:
    """The content of the plain form: the chat so far, and the input that was not accepted."""

    token: str = ""
    state: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    error: str = ""
    status: int = 200
    body: str = ""
    filled: Mapping[str, str] = field(default_factory=dict)


def blueprint(api: VisitorApi) -> Blueprint:
    """Return the routes of the pages."""
    pages = Blueprint("chat_pages", __name__, url_prefix="/chat", template_folder="templates")
    words = Words()
    files = load()
    _add_files(pages, files)
    assets = f"/chat/static/{files.hashed}"

    def shown(address: WebAddress, plain: _Plain) -> Response:
        flow, asked = address.flow, request.args.get("lang", "")
        locale = words.locale((asked, flow.web_chat.language, *request.accept_languages.values()))
        fields = () if plain.token else flow.web_chat.fields
        page = render_template(
            "page.html",
            assets=assets,
            account_sid=flow.account_sid,
            flex_flow_sid=flow.sid,
            friendly_name=flow.friendly_name,
            asked=asked,
            lang=locale,
            dir=direction(locale),
            text=words.of(locale),
            greeting=in_words(flow.web_chat.greetings, locale),
            fields=[each.resource() | {"label": in_words(each.label, locale) or each.name} for each in fields],
            plain=plain,
        )
        return _guarded(Response(page, plain.status, content_type="text/html; charset=utf-8"), "'none'")

    @pages.get("")
    def page() -> Response:
        return shown(_test_page(api, request.args), _Plain())

    @pages.post("")
    def post() -> Response:
        address = _test_page(api, request.form)
        return shown(address, _post(api, address))

    @pages.get("/frame")
    def frame() -> Response:
        try:
            address = api.address(request.args, account="", flow="")
        except ApiError as unknown:
            # The frame tells the visitor, in their language, that the address does not exist.
            return framed("", "*", unknown.status)
        return framed(address.sid, " ".join(("'self'", *address.flow.web_chat.allowed_origins)))

    @pages.get("/embed.js")
    def embed() -> Response:
        return _embed(api, request.headers.get("Origin", ""))

    def framed(sid: str, ancestors: str, status: int = 200) -> Response:
        content = lean(render_template("frame.html", assets=assets, address=sid)).encode()
        response = _packed(File(content, gzip.compress(content, mtime=0), "text/html; charset=utf-8"))
        response.status_code = status
        return _guarded(response, ancestors)

    for error in (ApiError, StoreUnavailable, Refusal):
        pages.register_error_handler(error, visitor_error)
    return pages


def _embed(api: VisitorApi, origin: str) -> Response:
    """Return the module that tells the loader whether the website may embed the chat, and logs the reason if not.

    The rule is that of the frame's policy. On the router's own pages a browser sends no Origin.
    """
    script = ""
    try:
        address = api.address(request.args, account="", flow="")
        if origin and not address.flow.web_chat.allows(origin):
            fault = (
                f"The web chat {address.sid} is not shown, because {origin[:_ORIGIN_MOST]} may not embed it. Add this "
                "origin to WebChat.AllowedOrigins of the address's flow (allowed_origins in a flow file)."
            )
            script = f"console.error({json.dumps(fault)});\nexport const forbidden = true;\n"
    except ApiError as unknown:
        # The frame shows the error to the visitor, in their language.
        script = f"console.error({json.dumps(f'The web chat cannot be used: {unknown.message}.')});\n"
    response = Response(script, content_type="text/javascript; charset=utf-8")
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Vary"] = "Origin"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # A refusal is not cached, so that it ends as soon as the website is allowed.
    response.headers["Cache-Control"] = "no-store" if script else _LOADER_CACHE
    return response


def _test_page(api: VisitorApi, values: Mapping[str, Any]) -> WebAddress:
    names = ("accountSid", "flexFlowSid")
    return api.address({name: values.get(name) for name in names}, account=names[0], flow=names[1])


def _guarded(response: Response, ancestors: str) -> Response:
    response.headers["Content-Security-Policy"] = f"{_POLICY}; frame-ancestors {ancestors}"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return private(response)


def _add_files(pages: Blueprint, files: Files) -> None:
    @pages.get(f"/{_LOADER}")
    def loader() -> Response:
        response = _packed(files.by_name[_LOADER])
        response.headers["Cache-Control"] = _LOADER_CACHE
        response.set_etag(files.hashed)
        response.make_conditional(request)
        return response

    @pages.get("/static/<hashed>/<path:name>")
    def file(hashed: str, name: str) -> Response:
        found = files.by_name.get(name)
        if found is None:
            raise ApiError(404, 20404, "There is no such file")
        response = _packed(found)
        # During an update, a page of one version may be answered by a process with another.
        response.headers["Cache-Control"] = _FOR_EVER if hashed == files.hashed else "no-store"
        return response


def _packed(file: File) -> Response:
    """Return a file, compressed if the browser accepts it."""
    takes = request.accept_encodings.quality("gzip") > 0
    response = Response(file.gzipped if takes else file.content, content_type=file.content_type)
    if takes:
        response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Pages of other sites load the loader.
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _post(api: VisitorApi, address: WebAddress) -> _Plain:
    """Accept a message from the plain form; begin a chat if the form has no token."""
    form = request.form
    body = form.get("body", "")
    filled = {name.removeprefix(_FIELD): text for name, text in form.items() if name.startswith(_FIELD)}
    plain = _Plain(token=form.get("token", ""), body=body, filled=filled)
    chat: Chat | None = None
    try:
        if plain.token:
            chat = api.guard.chat(api.guard.visitor(token=plain.token))
        else:
            chat = api.begin(address, {"form": filled, "language": request.args.get("lang", "")}).chat
            plain.token = api.token(chat, address.sid)["token"]
        if body.strip():
            sent = api.send(chat, body, None, None)
            plain.body = ""
            _wait(api, chat, sent.index)
    except ApiError as refused:
        plain.error, plain.status = refused.message, refused.status
    if chat:
        state = api.state(chat)
        plain.messages, plain.state = state["messages"], state["state"]
    return plain


def _wait(api: VisitorApi, chat: Chat, index: int) -> None:
    """Wait up to `_WAIT_SECONDS` for an answer to a message."""
    end = time.monotonic() + _WAIT_SECONDS
    while time.monotonic() < end:
        look = api.store.chats.look(chat.account_sid, chat.sid, "after", index)
        if look is None or any(message.side != "visitor" for _, message in look.messages):
            return
        gevent.sleep(_LOOK_SECONDS)
