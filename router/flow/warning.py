"""Warnings about valid flows that probably do not work as intended.

`flows apply`, `import`, `diff` and `list`, the REST resources, `router doctor` and a starting router show them, each in
its own form.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.unreachable import unreachable
from router.language.detector import language_of
from router.made_up import made_up_sid
from router.settings import ECHO, Settings


@dataclass(frozen=True, slots=True)
class Warned:
    """One thing to know about a flow.

    Args:
        flow: the flow.
        text: what is wrong, to be read after the flow's name.
        advice: what to do.
        fault: messages are lost to it, or customers harmed: it has to be mended.
        among_others: it is so because of other flows of the address.
    """

    flow: FlexFlow
    text: str
    advice: str
    fault: bool = False
    among_others: bool = False

    def __str__(self) -> str:
        """Write what is wrong, and what to do."""
        return f"{self.text}. {self.advice[:1].upper()}{self.advice[1:]}"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The configuration, apart from the flow, on which the warnings depend.

    Args:
        settings: the router's.
        made_up: the SID of the account that `router run` generated, "" if there is no such account.
    """

    settings: Settings
    made_up: str

    @classmethod
    def of(cls, settings: Settings) -> "Surroundings":
        """Make them of settings."""
        return cls(settings, made_up_sid(settings.data_dir))


def of_flow(flow: FlexFlow, around: Surroundings) -> list[Warned]:
    """Return the warnings about one flow, independent of other flows."""
    return [*_integration(flow, around), *_language(flow), *_web_chat(flow)]


def migrating(flows: Iterable[FlexFlow]) -> list[Warned]:
    """Return the warnings about enabled flows that name a MigrateTo to which no contact can move."""
    known = {flow.sid: flow for flow in flows}
    found = []
    for flow in known.values():
        to = known.get(flow.migrate_to)
        if flow.migrate_to and (to is None or address_of(to) != address_of(flow)):
            said = f"names the MigrateTo {flow.migrate_to}, which is no enabled flow of its address: no contact moves"
            advice = 'write that flow for the same channel and address, with match = "false", or take MigrateTo out'
            found.append(Warned(flow, said, advice, among_others=True))
    return found


def of_flows(flows: Iterable[FlexFlow], around: Surroundings) -> list[Warned]:
    """Return the warnings about the enabled ones of some flows, including unreachable flows."""
    enabled = {flow.sid: flow for flow in flows if flow.enabled}
    own = [each for flow in enabled.values() for each in of_flow(flow, around)]
    return own + unreached(enabled.values()) + migrating(enabled.values())


def unreached(flows: Iterable[FlexFlow]) -> list[Warned]:
    """Return the warnings about enabled flows that can never be chosen among those of their address."""
    of_accounts: dict[str, dict[str, FlexFlow]] = {}
    for flow in flows:
        of_accounts.setdefault(flow.account_sid, {})[flow.sid] = flow
    return [
        Warned(known[sid], why, "change its Match or Priority", among_others=True)
        for known in of_accounts.values()
        for sid, why in unreachable(known.values())
    ]


def sharing(flows: Iterable[FlexFlow], written: Collection[FlexFlow]) -> list[FlexFlow]:
    """Return the flows that have the address of one that was written."""
    addresses = {address_of(flow) for flow in written}
    return [flow for flow in flows if address_of(flow) in addresses]


def _integration(flow: FlexFlow, around: Surroundings) -> Iterator[Warned]:
    kind, account = flow.integration.type, around.settings.account(flow.account_sid)
    if flow.undeliverable:
        yield Warned(
            flow,
            f"{flow.undeliverable}: its messages wait, and none is given up",
            "choose another integration_type; or leave it, and write the flow again once a version can",
        )
    elif kind == "task":
        yield Warned(
            flow,
            "makes TaskRouter tasks without a chat: Flex UI shows an agent the task, but no messages",
            "for agents of Flex choose integration_type conversation; for a desktop of your own it is as it should be",
        )
    elif kind == "proxy" and not (flow.integration.proxy_service_sid or (account and account.proxy_service_sid)):
        yield Warned(
            flow,
            "names no Proxy service: its messages become undelivered",
            "give it integration.proxy_service_sid, or the account proxy_service_sid in the file of ROUTER_CONFIG",
        )
    elif kind == "handler":
        yield from _handler(flow, around)


def _handler(flow: FlexFlow, around: Surroundings) -> Iterator[Warned]:
    name, settings = flow.integration.handler, around.settings
    if name not in settings.handlers_of(flow.account_sid):
        whose = f", but not for {flow.account_sid}" if name in settings.handlers else ""
        yield Warned(
            flow,
            f"names the handler {name!r}, which the settings {'have' if whose else 'lack'}{whose}: its messages become "
            "undelivered",
            f'write {name} = "package.module:function" under [handlers] in the file of ROUTER_CONFIG and reload, or '
            f"name one that there is: {_listed(sorted(settings.handlers_of(flow.account_sid)))}",
            fault=True,
        )
    elif settings.handlers[name].path == ECHO and flow.account_sid != around.made_up:
        yield Warned(
            flow,
            "sends customers of a real account back what they wrote, STOP too",
            "name another integration, or remove the flow: `router flows export > all.toml`, edit the file, and "
            "`router flows apply all.toml --prune`",
            fault=True,
        )


def _language(flow: FlexFlow) -> Iterator[Warned]:
    mute = [tag for tag in flow.language if not language_of(tag)]
    if mute:
        yield Warned(
            flow,
            f"names {_listed(mute)}, which no model tells in a text",
            "it takes messages of contacts who chose it, of webhooks with ?lang=, and by the country of the number",
        )


def _web_chat(flow: FlexFlow) -> Iterator[Warned]:
    if flow.web_chat.require_identity and not flow.web_chat.identity_secret:
        yield Warned(
            flow,
            "requires signed identities and has no key to check them with: no chat can begin",
            "give it web_chat.identity_secret, which the website signs identities with",
            fault=True,
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
