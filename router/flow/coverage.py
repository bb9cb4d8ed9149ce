"""Finds messages that no flow of an address takes, or that the wrong flow takes."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from router.flow.file import address_of
from router.flow.flex_flow import FlexFlow
from router.flow.unreachable import takes_all
from router.language.detector import code_of

ALL: Final = "*"
"""The contact identity of a flow that takes the messages of every address without one of its own."""
# From this number of languages on, a text in another language is often taken for one of them.
_SEVERAL: Final = 2


def uncovered(flows: Iterable[FlexFlow], others: Collection[FlexFlow]) -> Iterator[tuple[FlexFlow, str]]:
    """Find addresses with flows for languages, where messages in other languages have no flow.

    Args:
        flows: flows of one account, of any addresses.
        others: flows of the account, with all of the address `*`, which take the remaining messages.

    Returns:
        The first flow of each such address, and the problem.

    """
    open_channels = _open_channels(others)
    for group in _by_address(flows):
        tags = list(dict.fromkeys(tag for flow in group for tag in flow.language))
        if tags and not any(map(_any, group)) and group[0].channel_type not in open_channels:
            named = f"is at an address with flows for {', '.join(tags)} and without a default flow"
            yield group[0], f"{named}: messages in other languages are unrouted"


def sibling_missing(flows: Iterable[FlexFlow], others: Collection[FlexFlow]) -> Iterator[tuple[FlexFlow, str]]:
    """Find addresses with several languages, and a default flow, where no flow names English.

    The router compares only languages that flows name, so it often takes an English text, which is for the default
    flow, for one of these languages. The arguments and results are those of `uncovered`.
    """
    open_channels = _open_channels(others)
    for group in _by_address(flows):
        tags = list(dict.fromkeys(tag for flow in group for tag in flow.language if code_of(tag)))
        languages = {code_of(tag) for tag in tags}
        default = next((flow for flow in group if _any(flow)), None)
        if (default or group[0].channel_type in open_channels) and len(languages) >= _SEVERAL and "en" not in languages:
            named = f"is at an address whose flows name {', '.join(tags)} and not en"
            yield group[0], f"{named}: an English text may be taken for one of these"


def without_flow(addresses: Iterable[tuple[str, str]], flows: Collection[FlexFlow]) -> Iterator[tuple[str, str]]:
    """Yield the addresses (channel and identity) without an enabled flow."""
    taken = {address_of(flow) for flow in flows if flow.enabled}
    for channel, identity in addresses:
        if not {(channel, identity), (channel, ALL)} & taken:
            yield channel, identity


def _open_channels(flows: Iterable[FlexFlow]) -> set[str]:
    """Return the channels with a flow for `*` that takes the messages that the flows of an address do not take."""
    return {flow.channel_type for flow in flows if flow.enabled and flow.contact_identity == ALL and _any(flow)}


def _any(flow: FlexFlow) -> bool:
    """Return whether a flow takes messages in any language."""
    return flow.is_default or (not flow.language and takes_all(flow))


def _by_address(flows: Iterable[FlexFlow]) -> Iterator[Sequence[FlexFlow]]:
    enabled = sorted((flow for flow in flows if flow.enabled), key=address_of)
    for _, group in groupby(enabled, key=address_of):
        yield tuple(group)
