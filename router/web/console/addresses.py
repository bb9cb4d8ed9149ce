"""Addresses (Flex Flows): the list, and the page of one address."""

from itertools import islice
from typing import Final

from flask import Blueprint, Response, request

from router.flow.file import export
from router.flow.flex_flow import FIELDS, FlexFlow, address_sid, is_given, value_of
from router.flow.integration_type import INTEGRATION_TYPES
from router.flow.parameter import CHANNEL_TYPES
from router.flow.warning import Surroundings
from router.queries.flow_state import losing
from router.queries.flow_warnings import around_address
from router.sid import is_sid
from router.web.console.desk import Desk, see, view
from router.web.console.guard import Refused
from router.web.console.page import page, value
from router.web.number import whole_number

SIZE: Final = 50
# The maximum number of flows that are read for one page of the list.
_LOOKS: Final = 5000
# The digits of any place in the list.
_PLACE_DIGITS: Final = 15
_STATES: Final = ("enabled", "disabled", "paused")


def register(console: Blueprint, desk: Desk) -> None:
    """Add the routes."""
    store = desk.store
    around = Surroundings.of(desk.settings)

    @console.get("/<account_sid>/addresses")
    def addresses() -> Response:
        filters = {name: request.args.get(name, "").strip()[:256] for name in ("q", "channel", "integration", "state")}
        beyond = whole_number(request.args.get("page", ""), _PLACE_DIGITS)
        found: list[tuple[int, FlexFlow]] = []
        looked, last = 0, 0
        for each in islice(store.flows.placed(view().sid, beyond=beyond), _LOOKS):
            looked, last = looked + 1, each.place
            if each.flow and _takes(each.flow, filters):
                found.append((each.place, each.flow))
                if len(found) == SIZE:
                    break
        return page(
            "addresses.html",
            filters=filters,
            flows=[flow for _, flow in found],
            looked=looked,
            following=str(last) if len(found) == SIZE or looked == _LOOKS else "",
            first=beyond is None,
            channels=CHANNEL_TYPES,
            integrations=INTEGRATION_TYPES,
            states=_STATES,
            state_of=state_of,
        )

    @console.get("/<account_sid>/addresses/<sid>")
    def address(sid: str) -> Response:
        if is_sid(sid, "IG"):
            return see(f"addresses/FO{sid[2:]}")
        flow = find_flow(desk, sid)
        (entry,) = store.flows.entries(view().sid, (flow.contact_identity,))
        return page(
            "address.html",
            flow=flow,
            ig="" if flow.language or flow.match else address_sid(flow),
            state=state_of(flow),
            facts=_facts(flow),
            warnings=around_address(flow, store, around),
            others=[each for each in entry.flows if each.sid != flow.sid],
            losing=losing(flow, store),
            toml=export([flow]),
            curl=_curl(flow),
            result=request.args.get("result", "")[:600],
            changes=list(islice(store.changes.newest(view().sid, flex_flow_sid=sid), 5)),
        )


def state_of(flow: FlexFlow) -> str:
    """Return the state of a flow in one word."""
    return "disabled" if not flow.enabled else "paused" if flow.paused else "enabled"


def _takes(flow: FlexFlow, filters: dict[str, str]) -> bool:
    q = filters["q"].lower()
    text = " ".join((flow.friendly_name, flow.contact_identity, flow.sid, address_sid(flow), *flow.language))
    return (
        q in text.lower()
        and filters["channel"] in {"", flow.channel_type}
        and filters["integration"] in {"", flow.integration.type}
        and filters["state"] in {"", state_of(flow)}
    )


def find_flow(desk: Desk, sid: str) -> FlexFlow:
    """Return a flow of the account; raise `Refused` if it does not exist."""
    flow = desk.store.flows.get(view().sid, sid) if is_sid(sid, "FO") else None
    if flow is None:
        raise Refused(404, "No such address", f"This account has no flow {sid[:40]!r}; it may have been deleted.")
    return flow


def _facts(flow: FlexFlow) -> list[tuple[str, str]]:
    """Return the parameters that are set in a flow, with their values."""
    return [
        (each.wire, "set" if each.write_only else value(value_of(flow, each.attribute)))
        for each in FIELDS
        if is_given(flow, each) and each.used_by(flow.integration.type, flow.channel_type)
    ]


def _curl(flow: FlexFlow) -> str:
    """Return a curl command that creates the same flow."""
    lines = [f"curl -X POST {view().base}/v1/FlexFlows -u $TWILIO_ACCOUNT_SID:$TWILIO_AUTH_TOKEN"]
    for each in FIELDS:
        if (each.required or is_given(flow, each)) and not each.write_only:
            quoted = f"{each.wire}={value(value_of(flow, each.attribute), comma=',')}".replace("'", "'\\''")
            lines.append(f"  --data-urlencode '{quoted}'")
    return " \\\n".join(lines)
