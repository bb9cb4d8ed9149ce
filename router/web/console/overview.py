"""The overview: the checks of `router doctor` that need attention, and figures of the last hour."""

from collections.abc import Iterator
from itertools import chain, islice
from urllib.parse import parse_qsl

from flask import Blueprint, Response, request

from router.errors import StoreUnavailable
from router.queries.checks import Check, stored
from router.settings import Settings
from router.store import Store
from router.web.console.desk import Desk, go, link, now_ms, see, view
from router.web.console.page import page

_ACCOUNTS = 200
# Seconds for which addresses are shown in full.
_REVEALED = 600
# The maximum age of refused requests that are counted, in ms.
_REFUSED_MS = 3_600_000
_MARKS = {"bad": 0, "look": 1}


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store

    @console.get("/")
    def first() -> Response:
        sid = next((account.sid for account in desk.settings.accounts), "")
        return go(link(view().base, f"{sid}/" if sid else "accounts"))

    @console.get("/accounts")
    def accounts() -> Response:
        q = request.args.get("q", "").strip()[:40]
        sids = [account.sid for account in desk.settings.accounts if q.lower() in account.sid.lower()]
        found = [(sid, store.deliveries.counts(sid)) for sid in sids[:_ACCOUNTS]]
        return page("accounts.html", q=q, found=found, more=len(sids) > _ACCOUNTS)

    @console.get("/<account_sid>/")
    def overview() -> Response:
        account = view().account
        assert account is not None  # noqa: S101 - guard.py sets it
        found = [*_checks(desk.of(account), store), *_refused(desk, account.sid)]
        return page(
            "overview.html",
            wrong=sorted((each for each in found if each.state in _MARKS), key=lambda each: _MARKS[each.state]),
            right=[each for each in found if each.state == "good"],
            counts=store.deliveries.counts(account.sid),
            flows=store.flows.count(account.sid),
            rhythm=store.deliveries.rhythm(account.sid, int(view().now) + 1),
        )

    @console.post("/<account_sid>/reveal")
    def reveal() -> Response:
        revealed = request.form.get("reveal") == "1"
        if revealed:
            store.changes.note(view().sid, view().who, "revealed addresses", minutes=_REVEALED // 60)
        store.sessions.reveal(view().session, until=view().now + _REVEALED if revealed else 0)
        path, _, query = request.form.get("back", "").partition("?")
        return see(path, **dict(parse_qsl(query)))

    @console.get("/<path:_rest>")
    def missing(_rest: str) -> Response:
        return page("refused.html", 404, heading="Not found", reason="There is no such page.")


def _refused(desk: Desk, account_sid: str) -> Iterator[Check]:
    """Count the requests that were refused recently."""
    others = desk.settings.by_sid.keys() - {account_sid}
    newest = desk.store.refusals.newest(after=now_ms() - _REFUSED_MS)
    refused = sum(dict(each.fields()).get("AccountSid") not in others for each in newest)
    if refused:
        found = f"{refused} request{'s were' if refused > 1 else ' was'} refused in the last hour"
        yield Check(
            "signatures", "look", found, "requests that are not from Twilio look the same: see what was wrong with them"
        )


def _checks(settings: Settings, store: Store) -> Iterator[Check]:
    """Run the checks that need only the store; the settings have only the account of the page."""
    try:
        yield from chain(
            stored.store(store),
            stored.clock(store),
            stored.messages(settings, store),
            stored.serving(settings, store),
            stored.targets(settings, store),
            stored.flows(settings, store),
            stored.languages(settings, store),
            stored.answers(settings, store),
            stored.outages(settings, store),
            islice(stored.load(settings, store), 1),
        )
    except StoreUnavailable as error:
        yield stored.unreachable(error)
