"""The time beside the signature: what the documentation tells receivers to check, run against what they receive."""

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
    """The function that the documentation shows, as a reader would copy it."""
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
def test_a_receiver_can_refuse_what_is_old(
    senders: Integrations, made: Settings, target: Target, is_the_routers: Check, keys: tuple[str, tuple[str, ...]]
) -> None:
    """What was sent just now passes; the same with another time, form, URL or key does not."""
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


def test_what_is_old_is_refused(is_the_routers: Check) -> None:
    """A recorded request is worth nothing after five minutes, although its signature is right."""
    url, form = "https://target.test/hook", dict(FIELDS)
    signature = RequestValidator("key").compute_signature(url, form)
    for age, passes in ((0, True), (290, True), (310, False), (-310, False)):
        timed = sign_time(signature, int(time.time()) - age, [Key("k", b"key")])
        headers = {"X-Twilio-Signature": signature, "X-Router-Signature": timed}
        assert is_the_routers(url, form, headers, ("key",)) == passes


def test_each_attempt_has_its_own_time(senders: Integrations, made: Settings, target: Target) -> None:
    """Also for a body that is not a form; and Twilio's own hosts get no header that they do not know."""
    url = target.url("/hook", host="target.test")
    for number in (1, 2):
        trial = attempt(made, flow("external", url=url), Raw("POST", "application/json", b"{}"))
        senders.send(replace(trial, number=number))
    for received in target.requests:
        assert re.fullmatch(r"t=\d+,v1=[0-9a-f]{64}", received.header("X-Router-Signature") or "")
    senders.send(attempt(made, flow("studio", flow_sid=STUDIO_SID)))
    assert target.requests[-1].header("X-Router-Signature") is None
