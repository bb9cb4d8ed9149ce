"""`/healthz`, `/readyz` and `/metrics`."""

import re
from collections.abc import Callable
from typing import Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.architecture.readme import written
from tests.e2e.service import ACCOUNT
from tests.e2e.world import Gate, Reply, World
from tests.integrations.target import Target, answer, in_turn
from tests.waiting import wait_until

PROMISED: Final = {
    "intake by answer": ("router_webhooks", {"channel", "answer"}),
    "which key matched": ("router_signatures", {"account_sid", "key"}),
    "deliveries by outcome and target": ("router_attempts", {"integration_type", "target", "outcome", "failure"}),
    "attempt times": ("router_attempt_seconds", {"integration_type", "le"}),
    "answer times": ("router_answer_seconds", {"le"}),
    "slots": ("router_slots_in_use", set()),
    "breakers": ("router_breakers_open", set()),
    "views that wait": ("router_views_waiting", set()),
    "oldest due": ("router_oldest_due_seconds", set()),
    "oldest": ("router_oldest_seconds", set()),
    "oldest of an account": ("router_account_oldest_seconds", {"account_sid"}),
    "the store's clock": ("router_store_clock_ahead_seconds", set()),
    "queued": ("router_queued", {"account_sid"}),
    "unrouted": ("router_unrouted", {"account_sid"}),
    "undelivered": ("router_undelivered", {"account_sid"}),
    "the store": ("router_store_up", set()),
}


@pytest.mark.parametrize("what", PROMISED)
def test_every_promised_metric_is_there(world: World, what: str) -> None:
    """Each promised metric is in /metrics with its labels and a help text."""
    with Target() as target:
        world.ends(world.text(world.flow(target.url("/hook"))).sid)
        world.text(world.address())
    text = world.send("GET", "/metrics", b"", {}).body.decode()
    name, labels = PROMISED[what]
    family = next(family for family in text_string_to_metric_families(text) if family.name == name)
    assert family.documentation
    assert family.samples
    assert set().union(*(sample.labels for sample in family.samples)) == labels


def test_queue_metrics_are_the_stores_present_counts(world: World) -> None:
    """The metrics of queued, unrouted and undelivered messages are the present counts of the store."""
    with Target({"/hook": answer(404)}) as target:
        waiting = world.flow(target.url("/hook"), paused=True)
        before = {name: world.metric(name, account_sid=ACCOUNT) for name in _KEPT}
        theirs = world.address()
        sids = [world.text(waiting, theirs).sid for _ in range(3)]
        world.text(world.address())
        assert _changes(world, before) == {"router_queued": 3, "router_unrouted": 1, "router_undelivered": 0}
        world.change(waiting, paused=False)
        world.ends(sids[-1])
        assert _changes(world, before) == {"router_queued": 0, "router_unrouted": 1, "router_undelivered": 3}
        assert world.rest("POST", f"/v1/Deliveries/{sids[0]}", {"Status": "queued"}).status == 200
        world.ends(sids[0])
        assert _changes(world, before) == {"router_queued": 0, "router_unrouted": 1, "router_undelivered": 3}


_KEPT: Final = ("router_queued", "router_unrouted", "router_undelivered")


def _changes(world: World, before: dict[str, float]) -> dict[str, float]:
    return {name: world.metric(name, account_sid=ACCOUNT) - value for name, value in before.items()}


def test_every_metric_is_documented(world: World) -> None:
    """Each metric of the router in /metrics is in the table of docs/operations.md."""
    text = world.send("GET", "/metrics", b"", {}).body.decode()
    families = [each for each in text_string_to_metric_families(text) if each.name.startswith("router_")]
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    documented = set(re.findall(r"^\| `(router_\w+)` \| (?:counter|gauge|histogram)", written("metrics"), re.MULTILINE))
    assert names <= documented
    assert len(names) > 12


def test_the_oldest_messages_age_is_a_metric_by_account_and_target(world: World) -> None:
    """A retried message grows older in the metrics of its account and target; a held or paused one does not count."""
    with Target({"/hook": answer(503, Retry_After="5000")}) as target:
        flow, origin = world.flow(target.url("/hook"), response="accept"), target.url("").rstrip("/")
        sid = world.text(flow).sid
        wait_until(lambda: world.delivery(sid)["history"], what="it waits for its retry")
        world.pass_time(300)

        def oldest() -> float:
            return world.metric("router_target_oldest_seconds", account_sid=ACCOUNT, target=origin)

        assert 300 <= oldest() < 310
        assert 300 <= world.metric("router_account_oldest_seconds", account_sid=ACCOUNT) < 310
        assert 300 <= world.metric("router_oldest_seconds") < 310
        assert world.metric("router_oldest_due_seconds") < 10
        assert world.rest("POST", f"/v1/Deliveries/{sid}", {"Held": "true"}).status == 200
        assert oldest() == 0
        assert world.rest("POST", f"/v1/Deliveries/{sid}", {"Held": "false"}).status == 200
        assert oldest() < 10
        world.change(flow, paused=True)
        world.pass_time(300)
        assert oldest() == 0
        world.rest("POST", f"/v1/Deliveries/{sid}", {"Status": "canceled"})


def test_slots_and_views_are_figures_of_now(world: World) -> None:
    """While three messages are being sent, three slots are in use and three views wait; afterwards none."""

    def shows(number: int) -> bool:
        return world.metric("router_slots_in_use") == number == world.metric("router_views_waiting")

    with Target() as target:
        target.script["/hook"] = gate = Gate(answer())
        flow = world.flow(target.url("/hook"))
        with world.sending(*[lambda: world.text(flow)] * 3):
            gate.wait_for(3)
            try:
                wait_until(lambda: shows(3), what="three are shown", within=1)
            finally:
                gate.open()
        wait_until(lambda: shows(0), what="none is shown", within=1)


def test_attempts_are_counted_by_target_and_outcome(world: World) -> None:
    """Attempts are counted by outcome, failure and the target's origin, without path or query."""
    with Target() as target:
        target.script["/hook"] = in_turn(answer(503), answer())
        world.ends(world.text(world.flow(target.url("/hook?secret=1"), response="accept")).sid)
        origin = target.url("").rstrip("/")

        def count(outcome: str, failure: str) -> float:
            return world.metric("router_attempts_total", target=origin, outcome=outcome, failure=failure)

        wait_until(lambda: count("delivered", ""), what="both are counted")
        assert (count("retry", "refused"), count("delivered", "")) == (1, 1)


@pytest.mark.parametrize(
    ("answered", "send"),
    [
        ("403", lambda world: world.send("POST", "/webhooks/sms", b"a=1", {})),
        ("405", lambda world: world.send("PUT", "/webhooks/sms", b"a=1", {})),
        ("415", lambda world: world.send("POST", "/webhooks/sms", b"{}", {"Content-Type": "application/json"})),
        ("400", lambda world: world.post({"AccountSid": ACCOUNT})),
        ("unrouted", lambda world: world.text(world.address())),
    ],
)
def test_every_answer_is_counted(world: World, answered: str, send: Callable[[World], Reply]) -> None:
    """Each webhook is counted by channel and answer."""
    before = world.metric("router_webhooks_total", channel="sms", answer=answered)
    send(world)
    assert world.metric("router_webhooks_total", channel="sms", answer=answered) == before + 1


def test_an_unknown_channel_is_counted_as_unknown(world: World) -> None:
    """Webhooks for unknown channels are all counted as `unknown`."""
    world.send("POST", "/webhooks/one-of-many", b"", {})
    text = world.send("GET", "/metrics", b"", {}).body
    assert b"one-of-many" not in text
    assert b'channel="unknown"' in text


def test_health_needs_no_password_and_tells_no_secret(world: World) -> None:
    """The three paths answer without credentials and show no telephone number."""
    alive, ready, metrics = (world.send("GET", path, b"", {}) for path in ("/healthz", "/readyz", "/metrics"))
    assert (alive.status, alive.body) == (200, b"ok\n")
    assert (ready.status, ready.json["ready"]) == (200, True)
    assert all(finding["good"] for finding in ready.json["store"].values())
    assert set(ready.json["store"]) == {"version", "appendonly", "appendfsync", "maxmemory-policy", "replicas"}
    assert metrics.headers["Content-Type"].startswith("text/plain")
    assert "+1555" not in metrics.body.decode() + ready.body.decode()
