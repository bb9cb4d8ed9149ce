"""The list of messages, with its filters."""

import hashlib
from typing import Final

from flask import Blueprint, Response, request

from router.message.channel import CHANNELS
from router.queries.delivery_page import Place, read_page_of
from router.sid import is_sid
from router.web.console.desk import Desk, see, view
from router.web.console.message_filter import SHOWN_STATES, TIME_DIGITS, read_filters, read_time, read_wanted
from router.web.console.message_rows import names, row
from router.web.console.page import page
from router.web.number import whole_number

SIZE: Final = 50


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/<account_sid>/messages")
    def messages() -> Response:
        filters = read_filters(request.args)
        q = request.args.get("q", "").strip()[:64]
        if is_sid(q, "SM", "MM"):
            return see(f"messages/{q}")
        mark = hashlib.sha256(f"{store.deliveries.mark(view().sid)} {view().reveals}".encode()).hexdigest()[:16]
        if request.headers.get("X-Live") and mark in request.if_none_match:
            return Response(status=304)
        wanted, wrong = read_wanted(filters, store)
        found = read_page_of(
            store,
            view().sid,
            wanted,
            size=SIZE,
            after=read_time(filters, "after", wrong),
            before=read_time(filters, "before", wrong),
            last=_place(request.args.get("page", ""), wrong),
        )
        response = page(
            "messages.html",
            filters=filters,
            q=q,
            wrong=wrong,
            rows=[row(each) for each in found.deliveries],
            names=names((each.flow_sid for each in found.deliveries), store),
            looked=found.looked,
            until=found.until,
            following=f"{found.last[0]}-{found.last[1]}" if found.last else "",
            first="page" not in request.args,
            states=SHOWN_STATES,
            channels=CHANNELS,
        )
        response.set_etag(mark)
        return response


def _place(text: str, wrong: list[str]) -> Place | None:
    first, _, sid = text.partition("-")
    time = whole_number(first, TIME_DIGITS)
    if time is not None and is_sid(sid, "SM", "MM", "IM"):
        return time, sid
    if text:
        wrong.append("This page does not exist; the first page is shown.")
    return None
