"""Renders the templates. All values are escaped, so customers' texts are never markup."""

import re
from collections.abc import Mapping
from typing import Any, Final

from flask import Response, g, request
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from router.iso_time import utc
from router.message.masking import mask
from router.printable import ago, clean
from router.web.console import static
from router.web.console.desk import View, link

# Sent with every answer of the console: no inline scripts or styles, nothing from and no forms to other origins, no
# frames. Not `no-referrer`, because Chromium then sends `Origin: null` with the page's own forms.
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Robots-Tag": "noindex",
}
# The notice on a page after an action, by the value of `notice` in its query.
_NOTICES: Final[Mapping[str, str]] = {
    "replayed": "The message is queued again.",
    "created": "The flow is created.",
    "saved": "The flow is saved. The next message is routed by it.",
    "same": "Nothing was changed: the flow already had these values.",
    "deleted": "The flow is deleted.",
    "stopping": "The replay stops after the message that it is sending.",
    "started": "The replay has started.",
    "contact": "The contact is changed.",
    "step": "The step is taken. The next message is routed by it.",
    "erased": "The contact is erased.",
}


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("router.web.console"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        clean=clean, lines=lambda text: clean(text, lines=True), iso=utc, mask=mask, parts=parts, value=value
    )
    environment.globals.update(static=static.path, ago=ago)
    return environment


def value(raw: object, *, comma: str = ", ") -> str:
    """Return a value of a flow as text; `comma` separates those of a list."""
    if isinstance(raw, tuple | list):
        return comma.join(map(str, raw))
    return str(raw).lower() if isinstance(raw, bool) else str(raw)


def parts(text: str) -> list[tuple[str, str]]:
    """Split a text at the SIDs of flows and messages: texts, and the SID that follows each, "" at the end."""
    found = _LINKED_SID.split(text)
    return list(zip(found[::2], [*found[1::2], ""], strict=True))


_LINKED_SID: Final = re.compile("((?:FO|SM|MM|IM)[0-9a-f]{32})")
_ENVIRONMENT: Final = _environment()


def _here(view: View | None) -> str:
    """Return path and query of a page of the account, for the way back after an action."""
    path = request.path.partition(f"/{view.sid}/")[2] if view and view.account else ""
    query = request.query_string.decode("latin-1")
    return path + (f"?{query}" if query else "")


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Render a page for the signed-in person, or for a visitor who is not signed in."""
    view: View | None = g.get("console")
    base = view.base if view else str(g.get("base", ""))
    text = _ENVIRONMENT.get_template(template).render(
        view=view,
        base=base,
        insecure=base.startswith("http:") and not g.get("local", False),
        now=view.now if view else 0,
        here=_here(view),
        section="-",
        notice=_NOTICES.get(request.args.get("notice", ""), ""),
        root=lambda path="", **query: link(base, path, query),
        shown=clean if view and view.reveals else lambda address: mask(clean(address)),
        **values,
    )
    return Response(text, status, content_type="text/html; charset=utf-8")
