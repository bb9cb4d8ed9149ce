"""Creates the flows of the demo account, and reports the accounts without flows."""

import json
import time
from collections.abc import Callable, Mapping

from router.cli.terminal import say
from router.errors import RouterError
from router.flow.file import REQUIRED
from router.flow.flex_flow import FlexFlow
from router.flow.resource import from_parameters
from router.made_up import made_up_sid
from router.message.channel import ALL, WEB
from router.process.preload import found_in_store
from router.settings import Settings, load
from router.sid import new_sid
from router.store import Store, connect

# The handler that every account has.
_ECHO = "echo"
# A file in the data directory with the SID of the demo account, once that account has had flows.
SEEDED = "seeded-accounts"
# The number of newest flows that are searched for a web flow.
_NEWEST = 200


def seed(settings: Settings, store: Store) -> int:
    """Create the flows of the demo account, unless it has had flows; return how many were created.

    These flows echo, so a real account never gets them: its customers would get back what they wrote. This is done
    once for each data directory, so flows that the user removes are not created again.

    Raises:
        RouterError: the store does not answer.
    """
    sid = made_up_sid(settings.data_dir)
    if not sid or settings.account(sid) is None:
        return 0
    seeded = settings.data_dir / SEEDED
    if seeded.exists() and sid in seeded.read_text(encoding="utf-8").splitlines():
        return 0
    flows = [] if store.flows.count(sid) else echo_flows(sid, now=int(time.time()), new_sid=lambda: new_sid("FO"))
    if flows:
        store.flows.put_all([(flow, None) for flow in flows])
    with seeded.open("a", encoding="utf-8") as file:
        file.write(f"{sid}\n")
    return len(flows)


def echo_flows(account_sid: str, *, now: int, new_sid: Callable[[], str]) -> list[FlexFlow]:
    """Return one flow for each channel, which sends every message to the handler `echo`.

    Args:
        account_sid: the account of the flows.
        now: the creation date of the flows, in Unix seconds.
        new_sid: returns the SID (FO…) of a new flow.
    """
    everything = {"ContactIdentity": "*"}
    visitors = {"JanitorEnabled": "true"}  # a web flow without a ContactIdentity gets its own address
    return [
        from_parameters(
            {
                "FriendlyName": f"Demo: {channel.title}",
                "ChannelType": channel.name,
                "IntegrationType": "handler",
                "Integration.Handler": _ECHO,
                **(visitors if channel.name == WEB else everything),
            },
            account_sid=account_sid,
            current=None,
            handlers=(_ECHO,),
            now=now,
            sid=new_sid(),
            required=REQUIRED,
        )
        for channel in ALL.values()
    ]


def _test_page(settings: Settings, store: Store) -> str:
    """Return the query of the test page of the first account's newest web flow, "" if there is no web flow."""
    for account in settings.accounts[:1]:
        for flow in store.flows.page(account.sid, 0, _NEWEST):
            if flow.channel_type == WEB and flow.enabled and flow.test_page:
                return f"accountSid={account.sid}&flexFlowSid={flow.sid}"
    return ""


def report(environ: Mapping[str, str]) -> str:
    """Create the flows of the demo account, unless it has had flows; return the state of the flows as JSON.

    `found` in it is what gunicorn would ask the store next. Returns "", and prints why on stderr, if the store does not
    answer.
    """
    try:
        settings = load(environ)
        store = connect(settings)
        try:
            seeded = seed(settings, store)
            empty = [each.sid for each in settings.accounts if not store.flows.count(each.sid)]
            chat, found = _test_page(settings, store), found_in_store(settings)
            return json.dumps({"seeded": seeded, "empty": empty, "chat": chat, "found": found})
        finally:
            store.close()
    except RouterError as error:
        say(str(error))
        return ""
