"""`POST /v2/WebChats` and `/v1/WebChannels`: begin a chat from a server, as Twilio's web chat server does.

https://www.twilio.com/docs/flex/developer/conversations/webchat
"""

import json
import secrets
from typing import Any, Final

from flask import Blueprint, Response, request

from router.chat.address import WebAddress
from router.chat.ending import Ending
from router.chat.form import language_of
from router.chat.limit import DATA_MOST
from router.chat.resource import web_channel
from router.chat.session import IDENTITY_MOST, TITLE, chat_of, read_language
from router.flow.flex_flow import FlexFlow
from router.message.channel import WEB
from router.sid import is_sid
from router.store.chat_record import Chat
from router.web.conversations.finding import NAME_MOST, Asked, Finder, now_ms, read_text
from router.web.errors import ApiError
from router.web.form import read_form
from router.web.paging import base_url, json_response, no_content, page_body, read_page, seal, unseal

_ONCE: Final = (
    "AddressSid",
    "FlexFlowSid",
    "Identity",
    "CustomerFriendlyName",
    "ChatFriendlyName",
    "ChatUniqueName",
    "PreEngagementData",
    "PostEngagementData",
    "ChatStatus",
)
_CUSTOMER: Final = "Customer"


def blueprint(finder: Finder, ending: Ending) -> Blueprint:
    """Return the routes of WebChats and WebChannels."""
    chats = Blueprint("web_chats", __name__)

    @chats.post("/v2/WebChats")
    def create() -> Response:
        asked = finder.asked("")
        form = read_form(request, _ONCE)
        flow = _flow(finder, asked, form.get("AddressSid", ""))
        chat = _begin(finder, flow, form)
        return json_response({"conversation_sid": chat.sid, "identity": chat.identity}, 201)

    @chats.post("/v1/WebChannels")
    def create_channel() -> Response:
        asked = finder.asked("")
        form = read_form(request, _ONCE)
        for name in ("FlexFlowSid", "Identity", "CustomerFriendlyName", "ChatFriendlyName"):
            if not form.get(name):
                raise ApiError(400, 45745, f"{name}: is required")
        flow = _flow(finder, asked, form["FlexFlowSid"])
        return json_response(web_channel(_begin(finder, flow, form), base_url(request, finder.settings)), 201)

    _add_channels(chats, finder, ending)
    return chats


def _add_channels(chats: Blueprint, finder: Finder, ending: Ending) -> None:
    @chats.get("/v1/WebChannels")
    def page() -> Response:
        asked, wanted = finder.asked(""), read_page(request.args, most=1000, cut=True)
        scope = f"WebChannels {asked.account.sid}"
        cursor = unseal(asked.account, scope, wanted.token)
        found = _some(finder, asked, wanted.size + 1, cursor)
        shown, base = found[: wanted.size], base_url(request, finder.settings)
        return json_response(
            page_body(
                "flex_chat_channels",
                [web_channel(chat, base) for _, chat in shown],
                wanted,
                url=f"{base}/v1/WebChannels",
                filters={},
                next_token=seal(asked.account, scope, f"{shown[-1][0]:.0f}") if len(found) > len(shown) else "",
                previous_token="",
            )
        )

    @chats.get("/v1/WebChannels/<sid>")
    def fetch(sid: str) -> Response:
        _, chat = finder.chat("", sid)
        return json_response(web_channel(chat, base_url(request, finder.settings)))

    @chats.post("/v1/WebChannels/<sid>")
    def update(sid: str) -> Response:
        _, chat = finder.chat("", sid)
        form = read_form(request, _ONCE)
        if "PostEngagementData" in form:
            finder.store.chats.change(chat, {"post_engagement_data": _data(form, "PostEngagementData")})
        if status := form.get("ChatStatus", ""):
            if status != "inactive":
                raise ApiError(400, 20001, f"ChatStatus: {status[:40]!r} is not inactive")
            ending.end(chat, "agent")
        return json_response(web_channel(chat, base_url(request, finder.settings)))

    @chats.delete("/v1/WebChannels/<sid>")
    def delete(sid: str) -> Response:
        _, chat = finder.chat("", sid)
        finder.store.chats.erase(chat)
        return no_content()


def _some(finder: Finder, asked: Asked, most: int, cursor: str) -> list[tuple[float, Chat]]:
    """Return at most `most` chats by their last activity, the newest first, after a cursor."""
    found = []
    for at, chat in finder.store.chats.newest(asked.account.sid, before=float(cursor) if cursor else None):
        if finder.is_of(asked, chat):
            found.append((at, chat))
        if len(found) == most:
            break
    return found


def _flow(finder: Finder, asked: Asked, sid: str) -> FlexFlow:
    """Return the flow of an address by its IG… or FO… SID; raise ApiError with Twilio's codes."""
    if not is_sid(sid, "IG", "FO"):
        raise ApiError(400, 45745, "AddressSid: is missing, or not IG (or FO) and 32 hexadecimal digits")
    flow = finder.store.routing.get(asked.account.sid, f"FO{sid[2:]}")
    if flow is None:
        raise ApiError(404, 45765, f"AddressSid: there is no address {sid}")
    if flow.channel_type != WEB:
        raise ApiError(400, 45762, f"AddressSid: {sid} is an address of {flow.channel_type}, not of web chat")
    if not flow.enabled:
        raise ApiError(400, 45761, f"AddressSid: {sid} is disabled")
    return flow


def _begin(finder: Finder, flow: FlexFlow, form: Any) -> Chat:
    data = _data(form, "PreEngagementData")
    parsed = json.loads(data) if data else {}
    known = parsed if isinstance(parsed, dict) else {}
    identity = read_text(form, "Identity", IDENTITY_MOST)
    customer = read_text(form, "CustomerFriendlyName")
    chat = chat_of(
        WebAddress(flow, ()),
        identity=identity or secrets.token_hex(16),
        now_ms=now_ms(),
        idle_ms=int(finder.settings.sticky_hours * 3_600_000),
        friendly_name=read_text(form, "ChatFriendlyName") or TITLE,
        customer_name=customer or str(known.get("friendlyName", ""))[:NAME_MOST] or _CUSTOMER,
        unique_name=read_text(form, "ChatUniqueName"),
        pre_engagement_data=data,
        language=read_language(language_of(known)),
        chat_service_sid=flow.chat_service_sid,
    )
    what, sid = finder.store.chats.begin(chat)
    if what == "taken":
        raise ApiError(409, 45208, f"ChatUniqueName: {chat.unique_name!r} is the name of the open chat {sid}")
    return chat


def _data(form: Any, name: str) -> str:
    """Return the data of an engagement, which is JSON as text."""
    text: str = form.get(name, "")
    if len(text.encode()) > DATA_MOST:
        raise ApiError(400, 45731, f"{name}: at most {DATA_MOST} bytes are allowed")
    try:
        if text:
            json.loads(text)
    except (ValueError, RecursionError):
        raise ApiError(400, 45733, f"{name}: is not valid JSON") from None
    return text
