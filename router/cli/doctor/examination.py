"""The checks of `router doctor`, in their order; without a store those that need none."""

import time
from collections.abc import Iterator

from router.cli.connect.probe import answers, probe
from router.cli.here import open_store
from router.cli.run.demo import is_made_up
from router.cli.running import base_url
from router.errors import RouterError, StoreUnavailable
from router.queries.checks import Check, local, migration, outside, resources, stored
from router.queries.checks.refused import judged
from router.queries.refusals import Report, reports
from router.queries.serving import as_running
from router.settings import Settings
from router.store import Store
from router.twilio_api.webhook_values import shown


def examine(settings: Settings, *, since: int, offline: bool) -> tuple[list[Check], list[Report]]:
    """Run all checks that are possible; return them, and the refused requests since then (in ms since 1970)."""
    checks, refusals = (
        [*local.settings(settings, demo=is_made_up(settings)), *local.connected(settings)],
        list[Report](),
    )
    try:
        with open_store(settings) as store:
            checks.extend(_with_store(settings, store, offline=offline))
            refusals = reports(settings, store, since=since)
            checks.extend(judged(refusals, time.time()))
            return checks, refusals
    except StoreUnavailable as error:
        checks.append(stored.unreachable(error))
    except RouterError as error:
        advice = "messages, flows and refused requests cannot be checked without it"
        checks.append(Check("store", "bad", str(error), advice))
    if not any(check.name == "Twilio" for check in checks):
        checks.extend(_outside(settings, None, offline=offline))
    return checks, []


def _with_store(settings: Settings, store: Store, *, offline: bool) -> Iterator[Check]:
    yield from stored.store(store)
    yield from stored.clock(store)
    yield from stored.outages(settings, store)
    yield from _running(settings)
    yield from stored.serving(settings, store)
    yield from stored.languages(settings, store)
    running = as_running(settings, store)
    yield from stored.flows(running, store)
    yield from local.connected_without_flow(settings, store)
    yield from _outside(running, store, offline=offline)
    yield from stored.messages(settings, store)
    yield from stored.targets(settings, store)
    yield from stored.absent(store)
    yield from stored.answers(settings, store)
    yield from stored.load(settings, store)


def _outside(settings: Settings, store: Store | None, *, offline: bool) -> Iterator[Check]:
    if offline:
        yield Check("Twilio", "skipped", "not checked because of --offline: public URL, Twilio, targets")
        return
    if not settings.accounts:
        return
    yield from _public_urls(settings)
    if is_made_up(settings):
        yield Check("Twilio", "skipped", "the demo account does not exist at Twilio; set TWILIO_ACCOUNT_SID")
    else:
        for account in settings.accounts:
            yield from outside.twilio(settings, account, store)
            if store:
                yield from resources.flows(settings, account, store)
                yield from migration.of_account(settings, account, store)
    if store:
        yield from outside.targets(settings, store)


def _running(settings: Settings) -> Iterator[Check]:
    where = base_url(settings)
    if answers(where):
        yield Check("router", "good", f"answers at {where}")
    else:
        advice = "start it with `router run`, or set ROUTER_BIND to the address it listens on"
        yield Check("router", "bad", f"nothing answers at {where}", advice)


def _public_urls(settings: Settings) -> Iterator[Check]:
    """Send a signed status callback, as Twilio would, to each public base URL, including the tunnel's."""
    bases = outside.public_bases(settings)
    if not bases:
        yield Check("public URL", "skipped", "no public URL is set, and no tunnel is open")
    for base in bases:
        found = probe(base, settings.accounts[0])
        yield Check("public URL", "good" if found.good else "bad", f"{shown(base)}: {found.found}", found.advice)
