"""Read-only pages: refused requests, health, changes and settings."""

import re
from itertools import islice
from typing import Any, Final

from flask import Blueprint, Response, request

from router.queries.refusals import reports
from router.queries.waiting import shut
from router.settings import Settings
from router.settings.documentation import table
from router.store.changes import KEPT
from router.web.console.desk import Desk, now_ms, view
from router.web.console.message_rows import names
from router.web.console.page import page

# The maximum age of refused requests in ms, and their number: the diagnosis of each takes about 20 ms.
_REFUSED: Final = 12 * 3_600_000
_REPORTS: Final = 10
_CHANGES: Final = 50
# The id of an entry of the change log, which is a stream in the store.
_ENTRY: Final = re.compile("[0-9]{1,19}-[0-9]{1,19}")


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store, settings = desk.store, desk.settings

    @console.get("/<account_sid>/signatures")
    def signatures() -> Response:
        others = settings.by_sid.keys() - {view().sid}
        found = reports(settings, store, since=now_ms() - _REFUSED, most=_REPORTS, leave_out=others)
        return page("signatures.html", found=found)

    @console.get("/<account_sid>/health")
    def health() -> Response:
        return page(
            "health.html",
            findings=store.promise.findings(),
            processes=store.processes.serving(view().sid),
            shut=shut(view().sid, store),
        )

    @console.get("/<account_sid>/changes")
    def changes() -> Response:
        before = request.args.get("before", "")
        before = before if _ENTRY.fullmatch(before) else ""
        found = list(islice(store.changes.newest(view().sid, before=before, others=True), _CHANGES + 1))
        shown = found[:_CHANGES]
        return page(
            "changes.html",
            found=shown,
            following=shown[-1].id if len(found) > len(shown) else "",
            names=names((each.flex_flow_sid for each in shown), store),
            kept=KEPT,
        )

    @console.get("/<account_sid>/settings")
    def settings_page() -> Response:
        return page("settings.html", rows=list(_rows(settings, view().sid)))


def _rows(settings: Settings, account_sid: str) -> list[tuple[str, str, str]]:
    """Return the settings and this account with their values; of a secret only whether it is set."""
    account = settings.by_sid[account_sid]
    rows = [
        ("account.sid", account.sid, "This account"),
        ("account.auth_tokens", f"{len(account.auth_tokens)} set", "The first one signs requests to targets"),
        ("account.shared_keys", f"{len(account.shared_keys)} set", ""),
        ("account.api_keys", f"{len(account.api_keys)} set", "For programs that use the REST resources"),
        (
            "account.proxy_service_sid",
            account.proxy_service_sid or "not set",
            "For flows that name no Proxy service",
        ),
    ]
    for row in table():
        attribute = {"public_url": "public_urls"}.get(row.key, row.key)
        if row.variable and attribute in Settings.model_fields:
            rows.append((row.variable, _shown(settings, attribute), row.help))
    return rows


def _shown(settings: Settings, attribute: str) -> str:
    value: Any = getattr(settings, attribute)
    if attribute == "public_urls":
        return ", ".join(_without_password(url) for url in value) or "not set"
    if not Settings.model_fields[attribute].repr:
        return "not set" if value is None else "set"
    if value is None or value == ():
        return "not set"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
