"""Checks of the settings and of what `router connect` has changed at Twilio; they do not call Twilio."""

import contextlib
from collections.abc import Iterator

from router import tunnel_address as tunnel
from router.errors import RouterError
from router.queries.checks import Check
from router.queries.flow_warnings import without_flow
from router.settings import Settings
from router.store import Store
from router.twilio_api.connections import Connections, addresses_of
from router.twilio_api.webhook_values import shown


def settings(settings: Settings, *, demo: bool) -> Iterator[Check]:
    """Check the accounts and the public URL in the settings."""
    if not settings.accounts:
        yield Check(
            "settings", "bad", "no account", "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN, or `router run` a demo"
        )
        return
    many = f"{len(settings.accounts)} account{'s' * (len(settings.accounts) > 1)}"
    yield Check("settings", "good", f"{many}{', the demo' if demo else ''}; data in {settings.data_dir}")
    if not settings.public_urls and not demo:
        yield from _no_public_url(settings)
    for url in settings.public_urls:
        if url.startswith("http:") and "//localhost" not in url and "//127." not in url:
            advice = "use HTTPS: with HTTP others on the network can read the messages"
            yield Check("settings", "look", "a public URL is http", advice)


def _no_public_url(settings: Settings) -> Iterator[Check]:
    advice = (
        "set ROUTER_PUBLIC_URL to the base URL that is set at Twilio, so that the router does not take it from a header"
    )
    if settings.trusted_proxies:
        found = "no ROUTER_PUBLIC_URL: the router takes the signed URL from the X-Forwarded-Host of a trusted proxy"
        advice += (
            ". If the proxy passes on this header of a client, a target can replay the router's requests as Twilio's"
        )
        yield Check("settings", "look", found, advice)
    elif not tunnel.read(settings.data_dir):
        found = "no ROUTER_PUBLIC_URL, trusted proxy or open tunnel: the router answers every webhook of Twilio 403"
        yield Check("settings", "bad", found, f"{advice}; for a test use `router tunnel`")


def connected(settings: Settings) -> Iterator[Check]:
    """Check for webhooks at Twilio that a crash has left connected."""
    record, open_now = Connections(settings.data_dir), tunnel.read(settings.data_dir)
    try:
        found = record.read()
    except RouterError as error:
        yield Check("connected", "bad", str(error), "read the file that was kept")
        return
    for each in found:
        if record.is_orphan(each, open_now):
            advice = "`router disconnect` restores it, and so does the next `router run`, `connect` or `tunnel`"
            yield Check("connected", "bad", f"{each.name} still points to {shown(each.base)} after a crash", advice)
        else:
            yield Check("connected", "good", f"{each.name} is connected to {shown(each.base)}")


def connected_without_flow(settings: Settings, store: Store) -> Iterator[Check]:
    """Check for connected numbers without a flow."""
    with contextlib.suppress(RouterError):  # `connected` reports a damaged record
        for each in Connections(settings.data_dir).read():
            for warned in without_flow(addresses_of([each]), each.account_sid, store):
                yield Check("connected", "look", warned.text, warned.advice)
