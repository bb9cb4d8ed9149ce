"""The demo's first flows, given to an account that has none: `python -m router.cli.seed`.

A process of its own, so that the one that supervises never imports the Redis client.
"""

import os
import sys
import time
from pathlib import Path

from router import flow_file
from router.errors import RouterError
from router.settings import Settings, load
from router.sid import new_sid
from router.store import connect

FLOWS = Path(__file__).parents[2] / "config" / "demo-flows.toml"


def seed(settings: Settings) -> int:
    """Give the first account the demo's flows if it has no flow yet; return how many it was given.

    Raises:
        RouterError: the store does not answer, or the file is wrong.
    """
    sid = settings.accounts[0].sid
    store = connect(settings)
    try:
        if store.flows.count(sid):
            return 0
        flows = flow_file.load(
            FLOWS.read_text(encoding="utf-8"),
            file=FLOWS.name,
            account_sid=sid,
            handlers=settings.handlers_of(sid),
            now=int(time.time()),
            new_sid=lambda: new_sid("FO"),
        )
        store.flows.put_all([(each.flow, None) for each in flows])
        return len(flows)
    finally:
        store.close()


if __name__ == "__main__":
    try:
        seed(load(os.environ))
    except RouterError as error:
        sys.exit(f"router: {error}")
