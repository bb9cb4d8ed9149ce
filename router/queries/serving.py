"""Checks whether the processes that use a store, on any machine, have what a flow needs."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Final

from router.flow.flex_flow import FlexFlow
from router.settings import Settings
from router.store import Store
from router.store.processes import Process

_SHOWN: Final = 3


def unready(store: Store, account_sid: str, flows: Iterable[FlexFlow]) -> str:
    """Return why no process, or not every one, can deliver the messages of an account's flows; "" if all can."""
    present = store.processes.present()
    served = [store.processes.served(name) for name in {each.serves for each in present}]
    if not present:
        return "no router runs with this store now: these flows receive messages when a router starts"
    here = [served_by for served_by in served if account_sid in served_by.accounts]
    if not here:
        known = listed(sorted({sid for served_by in served for sid in served_by.accounts}))
        return f"the running router does not serve {account_sid}, so these flows get no message; it serves {known}"
    wanted = {flow.integration.handler for flow in flows if flow.enabled and flow.integration.type == "handler"}
    lacking = sorted(name for name in wanted if not all(served_by.has(name, account_sid) for served_by in here))
    if not lacking:
        return ""
    return (
        f"the running router has no handler {', '.join(map(repr, lacking))} yet: its messages become undelivered. "
        "Type `router reload`, so that the router reads its settings again"
    )


def as_running(settings: Settings, store: Store) -> Settings:
    """Return the settings with the private networks of the running processes, which may not be set in this terminal."""
    served = [store.processes.served(name) for name in {each.serves for each in store.processes.present()}]
    networks = {ip_network(each) for served_by in served for each in served_by.networks}
    return settings.model_copy(update={"allowed_networks": tuple({*settings.allowed_networks, *networks})})


def listed(items: Sequence[str | Process]) -> str:
    """Return the first items, and how many more there are."""
    more = f" and {len(items) - _SHOWN:,} more" if len(items) > _SHOWN else ""
    return ", ".join(str(each) for each in items[:_SHOWN]) + more
