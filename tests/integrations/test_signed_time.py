"""X-Router-Signature: the check that docs/flex-flows.md shows to receivers, run on real requests."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from router.integrations import Integrations
from router.message.raw import Raw
from router.message.signature import Key, sign_time
from router.settings import Settings
from tests.integrations.sending import FIELDS, STUDIO_SID, TOKEN, attempt, flow
from tests.integrations.target import Target

_DOCUMENT = Path(__file__).parents[2] / "docs" / "flex-flows.md"
Check = Callable[[str, Mapping[str, str], Mapping[str, str], tuple[str, ...]], bool]


@pytest.fixture
def is_the_routers() -> Check:
    """The function in the documentation, as a reader copies it."""
    found = re.findall(r"```python\n(.*?)```", _DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (each for each in found if "def is_the_routers" in each)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - our own documentation
    check: Check = names["is_the_routers"]
    return check


@pytest.mark.parametrize(
    "keys",
    [("", (TOKEN,)), ("one", ("one",)), ("old,new", ("old",)), ("old,new", ("old", "new"))],
    ids=["the auth token", "a signing key", "the first of two", "both of two"],
)
def test_the_documented_check_accepts_only_the_sent_request(
    senders: Integrations, made: Settings, target: Target, is_the_routers: Check, keys: tuple[str, tuple[str, ...]]
) -> None:
    """The documented check accepts a fresh request, and refuses it with another time, form, URL or key."""
    (key, receivers), url, form = keys, target.url("/hook", host="target.test"), dict(FIELDS)
    senders.send(attempt(made, flow("external", url=url, signing_key=key)))
    headers = dict(target.requests[0].headers)
    assert is_the_routers(url, form, headers, receivers)

    seconds = headers["X-Router-Signature"].partition(",")[0].removeprefix("t=")
    assert abs(time.time() - int(seconds)) < 60
    later = headers["X-Router-Signature"].replace(seconds, str(int(seconds) + 1))
    assert not is_the_routers(url, form, headers | {"X-Router-Signature": later}, receivers)
    assert not is_the_routers(url, form | {"Body": "another"}, headers, receivers)
    assert not is_the_routers(url + "x", form, headers, receivers)
    assert not is_the_routers(url, form, headers, ("wrong",))


def test_the_documented_check_refuses_old_requests(is_the_routers: Check) -> None:
    """The documented check refuses a request that is more than five minutes old, or in the future."""
    url, form = "https://target.test/hook", dict(FIELDS)
    signature = RequestValidator("key").compute_signature(url, form)
    for age, passes in ((0, True), (290, True), (310, False), (-310, False)):
        timed = sign_time(signature, int(time.time()) - age, [Key("k", b"key")])
        headers = {"X-Twilio-Signature": signature, "X-Router-Signature": timed}
        assert is_the_routers(url, form, headers, ("key",)) == passes


def test_each_attempt_to_an_external_target_is_signed_with_its_time(
    senders: Integrations, made: Settings, target: Target
) -> None:
    """Each attempt to an external target has X-Router-Signature, also without a form; Twilio's hosts do not get it."""
    url = target.url("/hook", host="target.test")
    for number in (1, 2):
        trial = attempt(made, flow("external", url=url), Raw("POST", "application/json", b"{}"))
        senders.send(replace(trial, number=number))
    for received in target.requests:
        assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64}", received.header("X-Router-Signature") or "")
    senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID)))
    assert target.requests[-1].header("X-Router-Signature") is None
