"""Warnings about valid flows that probably do not work as intended.

`flows apply`, `import`, `diff` and `list`, the REST resources, `router doctor` and the log of a starting router show
them.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.flow.coverage import sibling_missing, uncovered, without_flow
from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.slip import address_slip, language_slips
from router.flow.succession import STANDBY
from router.flow.unreachable import unreachable
from router.flow.warned import Warned
from router.language.detector import language_of
from router.made_up import made_up_sid
from router.network import may_connect
from router.settings import Settings
from router.settings.handler import ECHO


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The configuration, apart from the flow, on which the warnings depend.

    Args:
        settings: the router's settings.
        made_up: the SID of the account that `router run` generated, "" if there is no such account.
    """

    settings: Settings
    made_up: str

    @classmethod
    def of(cls, settings: Settings) -> "Surroundings":
        """Read them from settings."""
        return cls(settings, made_up_sid(settings.data_dir))


def of_flow(flow: FlexFlow, around: Surroundings) -> list[Warned]:
    """Return the warnings about one flow, independent of other flows."""
    return [*_address(flow), *_integration(flow, around), *_language(flow), *_web_chat(flow)]


def migrating(flows: Iterable[FlexFlow]) -> list[Warned]:
    """Return the warnings about enabled flows with a MigrateTo to which no contact can move."""
    known = {flow.sid: flow for flow in flows}
    found = []
    for flow in known.values():
        to = known.get(flow.migrate_to)
        if flow.migrate_to and (to is None or address_of(to) != address_of(flow)):
            text = (
                f"names the MigrateTo {flow.migrate_to}, which is not an enabled flow of its address: no contact moves"
            )
            advice = 'add that flow for the same channel and address, with match = "false", or remove MigrateTo'
            found.append(Warned(flow, text, advice, among_others=True))
    return found


def of_flows(
    flows: Iterable[FlexFlow], around: Surroundings, *, others: Collection[FlexFlow] | None = None
) -> list[Warned]:
    """Return the warnings about the enabled ones of some flows, including unreachable flows.

    `others` are all flows of the same accounts with these addresses, or with the address `*`. Without `others`,
    messages that no flow of an address takes are not reported.
    """
    enabled = {flow.sid: flow for flow in flows if flow.enabled}
    found = [each for flow in enabled.values() for each in of_flow(flow, around)]
    found += unreached(enabled.values()) + migrating(enabled.values())
    return found if others is None else [*found, *_left(enabled.values(), others)]


def of_addresses(addresses: Iterable[tuple[str, str]], flows: Collection[FlexFlow]) -> list[Warned]:
    """Return the warnings about addresses (channel and identity) whose webhooks lead here but that have no flow."""
    return [
        Warned(
            None,
            f"{identity} points to this router, but no enabled flow takes its {channel} messages: they are unrouted",
            f'add a flow with channel_type = "{channel}" and contact_identity = "{identity}", or "*" for every address',
        )
        for channel, identity in without_flow(addresses, flows)
    ]


def _made_reachable(flow: FlexFlow) -> str:
    if flow.match == STANDBY:
        return "let another flow's contacts move to it (`router migrate start`), or change its Match"
    return "change its Match or Priority"


def unreached(flows: Iterable[FlexFlow]) -> list[Warned]:
    """Return the warnings about enabled flows that can never be chosen among those of their address."""
    of_accounts: dict[str, dict[str, FlexFlow]] = {}
    for flow in flows:
        of_accounts.setdefault(flow.account_sid, {})[flow.sid] = flow
    return [
        Warned(known[sid], why, _made_reachable(known[sid]), among_others=True)
        for known in of_accounts.values()
        for sid, why in unreachable(known.values())
    ]


def _left(flows: Collection[FlexFlow], others: Collection[FlexFlow]) -> Iterator[Warned]:
    """Find the addresses where no flow takes some messages, or the wrong flow does, account by account."""
    for account_sid in dict.fromkeys(flow.account_sid for flow in flows):
        own = [flow for flow in flows if flow.account_sid == account_sid]
        beside = [flow for flow in others if flow.account_sid == account_sid]
        for flow, text in uncovered(own, beside):
            advice = "add a flow for this address, or for *, without language and match"
            yield Warned(flow, text, advice, among_others=True)
        for flow, text in sibling_missing(own, beside):
            advice = 'if the default flow answers in English, add one like it with language = ["en"]'
            yield Warned(flow, text, advice, among_others=True)


def sharing(flows: Iterable[FlexFlow], written: Collection[FlexFlow]) -> list[FlexFlow]:
    """Return the flows that share an address with a written flow."""
    addresses = {address_of(flow) for flow in written}
    return [flow for flow in flows if address_of(flow) in addresses]


def _address(flow: FlexFlow) -> Iterator[Warned]:
    if slip := address_slip(flow):
        yield Warned(flow, slip, "it gets no messages: correct its contact_identity", fault=True)


def _integration(flow: FlexFlow, around: Surroundings) -> Iterator[Warned]:
    kind, account = flow.integration.type, around.settings.account(flow.account_sid)
    if flow.undeliverable:
        yield Warned(
            flow,
            f"{flow.undeliverable}: its messages wait, and are not given up",
            "choose another integration_type, or update the router and then apply the flow again",
        )
    elif kind == "task":
        yield Warned(
            flow,
            "makes TaskRouter tasks without a Flex Interaction: Flex UI shows an agent the task, but no messages",
            "for agents of Flex choose integration_type conversation; for your own agent desktop this is right",
        )
    elif kind == "proxy" and not (flow.integration.proxy_service_sid or (account and account.proxy_service_sid)):
        yield Warned(
            flow,
            "names no Proxy service: its messages become undelivered",
            "set its integration.proxy_service_sid, or the account's proxy_service_sid in the file of ROUTER_CONFIG",
        )
    elif kind == "handler":
        yield from _handler(flow, around)
    elif kind == "external" and (private := _private(flow.integration.url, around.settings)):
        yield Warned(
            flow,
            f"goes to {private}, a private address that the settings do not allow: its messages wait, and become "
            "undelivered",
            f"set ROUTER_ALLOWED_NETWORKS={private} (or its network) and restart, or choose a public URL",
            fault=True,
        )


def _private(url: str, settings: Settings) -> str:
    """Return the address in a URL if the router may not connect to it; "" if it may, or if the host is a name."""
    host = urlsplit(url).hostname or ""
    address = "127.0.0.1" if host == "localhost" or host.endswith(".localhost") else host
    try:
        return "" if may_connect(address, settings.allowed_networks, lambda _: False) else address
    except ValueError:
        return ""


def _handler(flow: FlexFlow, around: Surroundings) -> Iterator[Warned]:
    name, settings = flow.integration.handler, around.settings
    if name not in settings.handlers_of(flow.account_sid):
        excluded = f", but not for {flow.account_sid}" if name in settings.handlers else ""
        yield Warned(
            flow,
            f"names the handler {name!r}, which the settings {'have' if excluded else 'lack'}{excluded}: its messages "
            f"{'wait, and ' if flow.paused else ''}become undelivered{' when it is resumed' if flow.paused else ''}",
            f'write {name} = "package.module:function" under [handlers] in the file of ROUTER_CONFIG and reload, or '
            f"name an existing handler: {_listed(sorted(settings.handlers_of(flow.account_sid)))}",
            fault=not flow.paused,
        )
    elif settings.handlers[name].path == ECHO and flow.account_sid != around.made_up:
        yield Warned(
            flow,
            "sends customers of a real account their own texts back, even STOP",
            "name another integration, or remove the flow: `router flows export > all.toml`, edit the file, and "
            "`router flows apply all.toml --prune`",
            fault=True,
        )


def _language(flow: FlexFlow) -> Iterator[Warned]:
    slips = language_slips(flow)
    if slips:
        are = "is no language code" if len(slips) == 1 else "are no language codes"
        yield Warned(
            flow,
            f"names {_listed(list(slips))}, which {are}: did you mean {_listed(list(slips.values()))}?",
            f"write language = {json.dumps([slips.get(tag, tag) for tag in flow.language])}",
        )
    mute = [tag for tag in flow.language if tag not in slips and not language_of(tag)]
    if mute:
        yield Warned(
            flow,
            f"names {_listed(mute)}, which the router cannot detect in a text",
            "it gets messages only by the contact's choice, by ?lang= in the webhook's URL, or by the number's country",
        )


def _web_chat(flow: FlexFlow) -> Iterator[Warned]:
    if flow.web_chat.require_identity and not flow.web_chat.identity_secret:
        yield Warned(
            flow,
            "requires signed identities but has no key to check them: no chat can begin",
            "set its web_chat.identity_secret to the key with which the website signs identities",
            fault=True,
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
