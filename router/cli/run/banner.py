"""The first output of `router run`: the router's address, its accounts, and the commands to type next."""

import os
import shutil
import sys
from dataclasses import dataclass

from router.cli.run.demo import is_made_up_password
from router.cli.running import base_url
from router.message.channel import webhook_paths
from router.settings import Settings
from router.twilio_api.webhook_values import to_paste


@dataclass(frozen=True, slots=True)
class Start:
    """How a router starts.

    Args:
        made_up: whether its account is the demo account.
        seeded: the number of flows that were just created for the demo account.
        empty: the accounts without flows.
        tunnelled: whether `router tunnel` starts next, which prints the public address.
        chat: the query of the test page of a web flow, "" without a web flow.
    """

    made_up: bool
    seeded: int = 0
    empty: tuple[str, ...] = ()
    tunnelled: bool = False
    chat: str = ""


def banner(settings: Settings, start: Start) -> str:
    """Return the text: the router's address, its accounts and flows, and the commands to type next."""
    url, command = base_url(settings), _command()
    sids = ", ".join(each.sid for each in settings.accounts)
    facts = [
        ("Listening", f"{url}   (webhooks at {url}{webhook_paths()})"),
        ("Account", f"{sids}{'   (made up, for this data directory)' * start.made_up}"),
        # The token of a real account is never printed; users need that of the demo account.
        *[("Auth token", settings.accounts[0].auth_tokens[0])] * start.made_up,
        *_console(settings, url),
        ("Data", str(settings.data_dir.absolute())),
        *_flows(settings, start, command),
        (
            "Web chat",
            f"{url}/chat?{start.chat}" if start.chat else f"no address yet; create one: {command} flows web URL",
        ),
    ]
    steps = [*_first(settings, start, command), ("Show its delivery", f"{command} deliveries list"), ("Stop", "Ctrl-C")]
    # Commands find the demo account in the data directory; a real account is only in the environment.
    where = [] if start.made_up else ["  In another terminal, with this one's TWILIO_… and ROUTER_… variables:", ""]
    lines = [f"  {name:12} {value}" for name, value in facts]
    twilio = _at_twilio(settings, start, command)
    return "\n".join(["", *lines, "", *twilio, *where, *(f"  {name:25} {value}" for name, value in steps), ""])


def _console(settings: Settings, url: str) -> list[tuple[str, str]]:
    """Return the URL of the console, with its password if `router run` has generated it."""
    if settings.admin_password is None:
        return []
    password = settings.admin_password if is_made_up_password(settings) else "the one of ROUTER_ADMIN_PASSWORD"
    return [("Console", f"{url}/console/   (password: {password})")]


def _flows(settings: Settings, start: Start, command: str) -> list[tuple[str, str]]:
    if start.seeded:
        return [("Flows", f"{start.seeded} that echo; replace them with yours: {command} flows apply FILE --prune")]
    if not start.empty or start.made_up:
        return []
    without = "none yet" if len(start.empty) == len(settings.accounts) else f"{', '.join(start.empty)} has none yet"
    return [("Flows", f"{without}: messages are kept as unrouted, and their senders get no answer")]


def _first(settings: Settings, start: Start, command: str) -> list[tuple[str, str]]:
    """Return what to type first; for an account without flows, how to add flows and replay the messages so far."""
    if start.made_up:
        return [("Send it a message", f'{command} simulate sms --body "Hola"')]
    if not start.empty:
        return [("Show the flows", f"{command} flows list")]
    account = f" --account {start.empty[0]}" if len(settings.accounts) > 1 else ""
    return [
        ("1. Create a flow file", f"{command} flows export{account} > first-flows.toml"),
        ("2. Edit it", "open first-flows.toml in an editor: it has an example"),
        ("3. Apply it", f"{command} flows apply first-flows.toml{account}"),
        (
            "4. Replay the messages",
            f"{command} deliveries replay --status unrouted --since 7d --route current{account}",
        ),
    ]


def _at_twilio(settings: Settings, start: Start, command: str) -> list[str]:
    """Return the webhooks to set at Twilio, or how to get a public address."""
    if start.tunnelled:
        return []
    if settings.public_urls:
        return [*to_paste(settings.public_urls[0]), ""]
    if start.made_up:
        return []
    return [
        "  Twilio cannot reach it yet: set ROUTER_PUBLIC_URL to its public address, or open a tunnel with",
        "",
        f"  {command} run --tunnel --connect +1…",
        "",
    ]


def _command() -> str:
    """Return the command with which the user can call `router`."""
    return "router" if shutil.which("router") else min(sys.argv[0], os.path.relpath(sys.argv[0]), key=len)
