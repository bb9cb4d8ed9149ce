"""`router flows log`: the changes of flows by the command line and by REST."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

from tests.e2e.commands import invoke
from tests.valkey import ValkeyServer
from tests.web.rest import KEY, KEY_SECRET, ONE, TWO, Rest, rest_over

FILE = """
[[flow]]
friendly_name = "Support"
chat_service_sid = "IS11111111111111111111111111111111"
channel_type = "sms"
contact_identity = "+15550000001"
integration_type = "external"
integration.url = "https://example.com/in"
integration.signing_key = "very-secret"
"""


@pytest.fixture
def rest(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Rest]:
    """The application over an empty store."""
    with rest_over(valkey, tmp_path) as made:
        yield made


@pytest.fixture
def flows(rest: Rest, tmp_path: Path) -> Callable[..., Result]:
    """Run a `router flows` command over the same store."""
    config = str(tmp_path / "router.toml")
    return lambda *args, given="": invoke(
        "flows", *args, given=given, ROUTER_CONFIG=config, ROUTER_REDIS_URL=rest.valkey.url
    )


def test_the_log_lists_who_changed_what(rest: Rest, flows: Callable[..., Result]) -> None:
    """The log lists changes by a file and by REST, the newest first, with who made them and without secrets."""
    assert flows("log").output == "No flow was changed yet.\n"
    assert flows("apply", "-", "--account", ONE, given=FILE).exit_code == 0
    (sid,) = rest.listed("/v1/FlexFlows")
    rest.call("POST", f"/v1/FlexFlows/{sid}", {"Enabled": "false"}, user=KEY, token=KEY_SECRET)
    other = rest.create(user=TWO)["sid"]
    rest.store.changes.note(ONE, "router deliveries hold", "held", message="SM" + "1" * 32)  # not a change of a flow
    heading, *lines = flows("log").output.splitlines()
    assert heading.split() == ["SID", "AGE", "DONE", "BY", "WHAT"]
    assert [line.split()[0] for line in lines] == [other, sid, sid]
    assert f"updated  {KEY}" in lines[1]
    assert "enabled: true → false" in lines[1]
    assert "router flows apply" in lines[2]
    assert "sms +15550000001 “Support”" in lines[2]
    shown = json.loads(flows("log", sid, "--json").output)
    assert shown == rest.call("GET", f"/v1/FlexFlows/{sid}/Changes").json["changes"]
    assert "very-secret" not in flows("log", "--json").output


def test_the_log_can_be_narrowed(rest: Rest, flows: Callable[..., Result]) -> None:
    """The log can be limited to a flow, an account, a number of entries or a time; an invalid SID is an error."""
    sids = [rest.create(number, user=user)["sid"] for number in (1, 2) for user in (ONE, TWO)]

    def logged(*args: str) -> list[str]:
        return [each["flex_flow_sid"] for each in json.loads(flows("log", "--json", *args).output)]

    assert sorted(logged()) == sorted(sids)
    assert logged("--account", TWO) == [sids[3], sids[1]]
    assert logged("--limit", "1", "--account", ONE) == [sids[2]]
    assert logged(sids[0]) == [sids[0]]
    assert sorted(logged("--since", "1h")) == sorted(sids)
    assert logged("--since", "2999-01-01T00:00:00Z") == []
    assert "FO and 32" in flows("log", "FO1").output
