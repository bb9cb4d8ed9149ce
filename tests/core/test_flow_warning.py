"""What is to be known of a flow is told, and nothing of a flow that is well."""

from dataclasses import replace

import pytest

from router.flow.flex_flow import FlexFlow
from router.flow.warning import Surroundings, of_flow, of_flows
from router.settings import Settings, load
from tests.core.flows import AC, INTEGRATIONS, flow

OTHER = "AC" + "e" * 32


def _settings(**account: str) -> Settings:
    accounts = [{"sid": AC, "auth_tokens": ["a"], **account}, {"sid": OTHER, "auth_tokens": ["b"]}]
    handlers = {"own": "shop:handle", "theirs": {"path": "shop:handle", "accounts": [OTHER]}}
    return Settings.model_validate({"accounts": accounts, "handlers": handlers})


AROUND = Surroundings(_settings(), made_up="")


def _handler(name: str) -> FlexFlow:
    made = flow({"IntegrationType": "handler", "Integration.Handler": "echo"})
    return replace(made, integration=replace(made.integration, handler=name))


TOLD = [
    pytest.param(flow({"IntegrationType": "proxy"}), "names no Proxy service", False, id="no Proxy service"),
    pytest.param(
        flow({"IntegrationType": "task"} | INTEGRATIONS["task"]),
        "makes TaskRouter tasks without a chat",
        False,
        id="a bare task",
    ),
    pytest.param(
        flow({"ChannelType": "web", "IntegrationType": "studio"} | INTEGRATIONS["studio"]),
        "which this version cannot deliver web chats to: its messages wait",
        False,
        id="no way for web chats",
    ),
    pytest.param(_handler("gone"), "names the handler 'gone', which the settings lack", True, id="no such handler"),
    pytest.param(_handler("theirs"), f"which the settings have, but not for {AC}", True, id="another's handler"),
    pytest.param(_handler("echo"), "sends customers of a real account back", True, id="an echo to real customers"),
    pytest.param(flow(INTEGRATIONS["external"] | {"Language": "es,gsw"}), "names gsw, which no", False, id="no model"),
]


@pytest.mark.parametrize(("told", "says", "fault"), TOLD)
def test_what_will_not_do_what_is_meant_is_told(told: FlexFlow, says: str, *, fault: bool) -> None:
    """One warning, with what is wrong and what to do; a fault where messages are lost or customers harmed."""
    (found,) = of_flow(told, AROUND)
    assert says in found.text
    assert found.advice
    assert found.fault == fault
    assert of_flows([told], AROUND) == [found]
    assert of_flows([replace(told, enabled=False)], AROUND) == []


def test_nothing_is_told_of_a_flow_that_is_well() -> None:
    """Another handler, an external target, a Proxy service of the account, the made-up account's echo."""
    service = Surroundings(_settings(proxy_service_sid="KS" + "1" * 32), made_up="")
    assert of_flow(_handler("own"), AROUND) == []
    assert of_flow(flow(INTEGRATIONS["external"]), AROUND) == []
    assert of_flow(flow({"IntegrationType": "proxy"}), service) == []
    assert of_flow(_handler("echo"), Surroundings(_settings(), made_up=AC)) == []
    assert Surroundings.of(load({})).made_up == ""


def test_flows_of_other_accounts_are_no_rivals() -> None:
    """Two accounts may have the same address; the flow of one takes nothing away from the other's."""
    one = flow(INTEGRATIONS["external"] | {"Match": "true", "ContactIdentity": "*"})
    assert (
        of_flows([one, replace(one, sid="FO" + "9" * 32, account_sid=OTHER, match="", language=("es",))], AROUND) == []
    )
