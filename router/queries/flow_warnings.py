"""The warnings about flows before or after they are written, for the REST API, the console and the command line."""

from collections.abc import Iterable, Sequence

from router.errors import RouterError
from router.flow.coverage import ALL
from router.flow.diff import Change, applied
from router.flow.file import FileFlow, address_of
from router.flow.flex_flow import FlexFlow
from router.flow.warned import Warned, of_settings
from router.flow.warning import Surroundings, of_addresses, of_flows, sharing
from router.language.detector import language_of
from router.settings import Settings
from router.store import Store
from router.twilio_api.connections import Connections, addresses_of


def around_address(written: FlexFlow, store: Store, around: Surroundings) -> list[Warned]:
    """Return the warnings about the settings, and about the enabled flows of a written flow's address.

    They include one about the address, if it received messages in the last 30 days and no flow takes them any more.
    """
    identities = tuple(dict.fromkeys((written.contact_identity, ALL)))
    others = [flow for entry in store.flows.entries(written.account_sid, identities) for flow in entry.flows]
    found = [*of_settings(around.settings), *of_flows(sharing(others, [written]), around, others=others)]
    if store.outages.was_seen(written.account_sid, written.contact_identity):
        found += of_addresses([address_of(written)], others)
    return found


def foreseen(
    current: Iterable[FlexFlow], changes: Sequence[Change], wanted: Iterable[FileFlow], around: Surroundings
) -> list[Warned]:
    """Return the warnings about the settings, the addresses of a flow file, and connected numbers without a flow.

    The flows of the addresses are those after the changes.
    """
    after = applied(current, changes)
    found = of_flows(sharing(after, [each.flow for each in wanted]), around, others=after)
    return [*of_settings(around.settings), *found, *of_addresses(connected(around.settings), after)]


def connected(settings: Settings) -> list[tuple[str, str]]:
    """Return the addresses that `router connect` and `tunnel` have connected, as channel and identity."""
    try:
        return addresses_of(Connections(settings.data_dir).read())
    except RouterError:  # a damaged record, which `router doctor` reports
        return []


def unread(account_sid: str, flows: Iterable[FlexFlow], store: Store) -> str:
    """Return a sentence if some process cannot detect all languages of these flows yet, as after a change; else ""."""
    tags = tuple(dict.fromkeys(tag for flow in flows if flow.enabled for tag in flow.language if language_of(tag)))
    processes = store.processes.serving(account_sid) if tags else []
    reading = [each for each in processes if each.reads(tags)]
    if len(reading) == len(processes):
        return ""
    so_far = f"Texts in {', '.join(tags)} are read by {len(reading)} of {len(processes)} processes so far"
    return f"{so_far}; the others load the languages by themselves"


def without_flow(addresses: Iterable[tuple[str, str]], account_sid: str, store: Store) -> list[Warned]:
    """Return the warnings about addresses (channel and identity) whose webhook leads here, and that no flow takes."""
    found = []
    for channel, identity in addresses:
        entries = store.flows.entries(account_sid, tuple(dict.fromkeys((identity, ALL))))
        found += of_addresses([(channel, identity)], [flow for entry in entries for flow in entry.flows])
    return found
