"""Replays of many messages by BulkReplayer, over a store and without processes."""

from urllib.parse import urlencode

import pytest

from router.language.detector import shared
from router.message.raw import FORM, Raw
from router.queries.bulk_replay import BulkReplayer
from router.store.deliveries import CANCELLED
from router.store.keys import AccountKeys
from router.store.lanes import new_token
from tests.e2e.service import parameters
from tests.web.rest import ONE, Rest

LANE = "a" * 24
MANY, RATE = 200, 500


def dead(rest: Rest) -> list[str]:
    """Write MANY undelivered messages of one conversation and return their SIDs."""
    flow = rest.create(IntegrationType="external", Integration__Url="https://example.com/in")["sid"]
    sids = []
    for number in range(1, MANY + 1):
        fields = parameters(number, "+15557654321", AccountSid=ONE, To="+15550000001")
        sids.append(fields["MessageSid"])
        rest.store.lanes.accept(
            token=new_token(), account_sid=ONE, message_sid=sids[-1], lane=LANE, disposition="queue", lease=False,
            versions=(), facts={"raw": Raw("POST", FORM, urlencode(fields).encode()).pack(), "flow": flow},
        )  # fmt: skip
        rest.store.lanes.cancel(ONE, sids[-1], LANE, CANCELLED)
    return sids


def scripts(rest: Rest) -> int:
    """Return how many scripts the store has run."""
    lines = rest.store.changes._client.call("INFO", "commandstats").decode().splitlines()
    return sum(int(line.partition("calls=")[2].partition(",")[0]) for line in lines if "evalsha:" in line)


@pytest.mark.parametrize("current", [False, True])
def test_many_messages_are_queued_again_in_steps_at_the_rate(rest: Rest, current: bool) -> None:
    """Many messages are queued again in order, once each, in few store calls, at the rate, with who began it."""
    sids, replays, pauses = dead(rest), rest.store.bulk_replays, list[float]()
    given = {"by": "console admin", "current": current, "rate": RATE, "wanted": "all", "now": 1}
    assert replays.begin(ONE, [(sid, 0) for sid in sids], **given)  # type: ignore[arg-type]  # one dict of several types
    replayer = BulkReplayer(rest.store, shared().likelihood, [ONE], pauses.append, pytest.fail)
    before = scripts(rest)
    replayer.run(lambda: not replays.running())
    job = replays.get(ONE)
    assert job is not None
    assert (job.state, job.results) == ("done", {"queued": MANY})
    lane = rest.store.changes._client.call("LRANGE", f"{AccountKeys(ONE).lanes}{LANE}", 0, -1)
    assert [id_.decode().partition(":")[2] for id_ in lane] == sids
    assert scripts(rest) - before < (2 * MANY if current else MANY / 5)
    # The pauses take no time here, so each pause is as long as all steps so far should have taken.
    assert max(pauses) >= 0.9 * (MANY - RATE / 20) / RATE
    (action,) = rest.call("GET", f"/v1/Deliveries/{sids[-1]}").json["actions"][-1:]
    assert (action["action"], action["by"]) == ("replayed", "console admin")
