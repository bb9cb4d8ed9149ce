"""The steps of a migration, forwards and back: each writes the flows, and returns the new state.

`by` names the actor in the change log; `now` is the time in seconds since 1970.
"""

from dataclasses import replace

from router.errors import RouterError
from router.flow.flex_flow import FlexFlow
from router.flow.succession import STANDBY, has_succeeded
from router.queries.migration import Way, obstacle, way
from router.store import Store
from router.store.flow_write import FlowWrite


def start(old: FlexFlow, to: str, store: Store, *, by: str, now: int) -> Way:
    """Name the flow that takes over; no contact moves yet. Raises RouterError if it cannot take over."""
    new = store.flows.get(old.account_sid, to)
    if new is None:
        raise RouterError(f"there is no flow {to}; write it first, for the same address and with match = {STANDBY!r}")
    if reason := obstacle(old, new):
        raise RouterError(reason)
    store.proxied.forget(old.account_sid, old.sid)
    return _write(replace(old, migrate_to=to, migrate_percent=0, date_updated=now), old, store, by=by)


def share(old: FlexFlow, percent: int, store: Store, *, by: str, now: int) -> Way:
    """Let a percentage of the new and idle contacts move; with 100, all contacts."""
    if has_succeeded(_new_flow(old, store), old):
        raise RouterError(f"{old.sid} is disabled, as all contacts have moved: go one step back first")
    return _write(replace(old, migrate_percent=percent, date_updated=now), old, store, by=by)


def drain(old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
    """Let every contact move with its next message, unless it is, or may be, in a session."""
    return share(old, 100, store, by=by, now=now)


def everything(old: FlexFlow, store: Store, *, by: str, now: int, force: bool = False) -> Way:
    """Let the new flow take all messages of the address, also those that wait for the old one, which is disabled.

    Unless `force`, raises RouterError before the drain, while contacts are or may be in a session, and while a message
    is being sent to Proxy.
    """
    new = _new_flow(old, store)
    if not force and (reason := _not_yet(way(old, store))):
        raise RouterError(reason)
    disabled = replace(old, enabled=False, date_updated=now)
    taking_all = replace(new, match="", date_updated=now)
    store.flows.write([[FlowWrite(disabled, old, idle=not force), FlowWrite(taking_all, new)]], by=by)
    return way(disabled, store)


def _not_yet(current: Way) -> str:
    """Return why the old flow cannot be disabled yet; "" if it can."""
    old, progress = current.old, current.progress
    if current.phase != "drain":
        return f"{old.sid} is not drained: let all contacts move first (`router migrate drain {old.sid}`)"
    if old.integration.type != "proxy":
        return ""
    split = "A contact in a session would have one agent in Proxy and another one in a Conversation"
    if progress.live is None:
        return f"the sessions of Proxy are not known yet. {split}. Wait until they are listed, or use --force"
    if progress.live:
        return f"{progress.live:,} addresses are in a session of Proxy. {split}. Wait until they end, or use --force"
    if progress.settling:
        return (
            f"a message went to Proxy less than 5 minutes ago, and its session may not be listed yet. {split}. "
            f"Wait {progress.settling} s, or use --force"
        )
    return ""


def back(old: FlexFlow, store: Store, *, by: str, now: int) -> Way:
    """Go one step back; contacts that moved finish where they are."""
    current = way(old, store)
    if current.phase == "all" and (new := current.new) is not None:
        standby = replace(new, match=STANDBY, date_updated=now)
        enabled = replace(old, enabled=True, date_updated=now)
        store.flows.write([[FlowWrite(standby, new), FlowWrite(enabled, old)]], by=by)
        return way(enabled, store)
    to = old.migrate_to if current.phase in {"share", "drain"} else ""
    return _write(replace(old, migrate_to=to, migrate_percent=0, date_updated=now), old, store, by=by)


def _write(after: FlexFlow, before: FlexFlow, store: Store, *, by: str) -> Way:
    store.flows.put(after, replaces=before, by=by)
    return way(after, store)


def _new_flow(old: FlexFlow, store: Store) -> FlexFlow:
    new = store.flows.get(old.account_sid, old.migrate_to) if old.migrate_to else None
    if new is None:
        raise RouterError(f"{old.sid} has no MigrateTo: begin with `router migrate start {old.sid} --to FO…`")
    return new
