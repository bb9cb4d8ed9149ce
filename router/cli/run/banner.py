"""What `router run` prints when it is up: where it listens, whose messages it takes, and what to type next."""

import os
import shutil
import sys
from dataclasses import dataclass

from router.cli.connect.webhook import to_paste
from router.cli.run.demo import is_made_up_password
from router.cli.running import base_url
from router.message.channel import webhook_paths
from router.settings import Settings


@dataclass(frozen=True, slots=True)
class Start:
    """How a router starts.

    Args:
        made_up: whether its account is the one that `router run` made up.
        seeded: how many of the demo's flows that account was given now.
        empty: the accounts without any flow.
        tunnelled: whether a tunnel is opened next, which says its own address.
        chat: the query of the test page of a web flow, "" where there is none.
    """

    made_up: bool
    seeded: int = 0
    empty: tuple[str, ...] = ()
    tunnelled: bool = False
    chat: str = ""


def banner(settings: Settings, start: Start) -> str:
    """Return where the router listens, whose messages it takes, which flows there are, and what to type next."""
    url, typed = base_url(settings), _typed()
    sids = ", ".join(each.sid for each in settings.accounts)
    facts = [
        ("Listening", f"{url}   (webhooks at {url}{webhook_paths()})"),
        ("Account", f"{sids}{'   (made up, for this data directory)' * start.made_up}"),
        # The token of a real account is its owner's secret; the one that was made up has to be said somewhere.
        *[("Auth token", settings.accounts[0].auth_tokens[0])] * start.made_up,
        *_console(settings, url),
        ("Data", str(settings.data_dir.absolute())),
        *_flows(settings, start, typed),
        ("Web chat", f"{url}/chat?{start.chat}" if start.chat else f"an address: {typed} flows web URL"),
    ]
    steps = [*_first(settings, start, typed), ("See what became of it", f"{typed} deliveries list"), ("Stop", "Ctrl-C")]
    # What the demo needs is found in the data directory; a real account's token is only in its owner's environment.
    where = [] if start.made_up else ["  In another terminal, with this one's TWILIO_… and ROUTER_… variables:", ""]
    lines = [f"  {name:12} {value}" for name, value in facts]
    twilio = _at_twilio(settings, start, typed)
    return "\n".join(["", *lines, "", *twilio, *where, *(f"  {name:25} {value}" for name, value in steps), ""])


def _console(settings: Settings, url: str) -> list[tuple[str, str]]:
    """Return where the console is; a password that was made up is said, as every password is somewhere."""
    if settings.admin_password is None:
        return []
    password = settings.admin_password if is_made_up_password(settings) else "the one of ROUTER_ADMIN_PASSWORD"
    return [("Console", f"{url}/console/   (password: {password})")]


def _flows(settings: Settings, start: Start, typed: str) -> list[tuple[str, str]]:
    if start.seeded:
        return [("Flows", f"{start.seeded} that echo were set up; yours instead: {typed} flows apply FILE --prune")]
    if not start.empty or start.made_up:
        return []
    whose = "none yet" if len(start.empty) == len(settings.accounts) else f"{', '.join(start.empty)} has none yet"
    return [("Flows", f"{whose}: messages are kept as unrouted, and their senders get no answer")]


def _first(settings: Settings, start: Start, typed: str) -> list[tuple[str, str]]:
    """Return what to type first; for an account without flows, what gives it flows, and them what came until then."""
    if start.made_up:
        return [("Send it a message", f'{typed} simulate sms --body "Hola"')]
    if not start.empty:
        return [("See the flows there are", f"{typed} flows list")]
    one = f" --account {start.empty[0]}" if len(settings.accounts) > 1 else ""
    return [
        ("1. Begin a flow file", f"{typed} flows export{one} > first-flows.toml"),
        ("2. Say in it where to", "open first-flows.toml in an editor: it holds an example"),
        ("3. Use it from now on", f"{typed} flows apply first-flows.toml{one}"),
        ("4. Route what came until", f"{typed} deliveries replay --status unrouted --since 7d{one}"),
    ]


def _at_twilio(settings: Settings, start: Start, typed: str) -> list[str]:
    """Return what to write at Twilio, or how Twilio reaches a router that has no address of its own."""
    if start.tunnelled:
        return []
    if settings.public_urls:
        return [*to_paste(settings.public_urls[0]), ""]
    if start.made_up:
        return []
    return [
        "  Twilio does not reach it yet: set ROUTER_PUBLIC_URL to the address that leads here, or open a tunnel with",
        "",
        f"  {typed} run --tunnel --connect +1…",
        "",
    ]


def _typed() -> str:
    """Return how `router` is typed here."""
    return "router" if shutil.which("router") else min(sys.argv[0], os.path.relpath(sys.argv[0]), key=len)
