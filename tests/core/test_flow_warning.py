"""Each flow that does not work as intended has a warning; other flows have none."""

from dataclasses import replace
from ipaddress import ip_network

import pytest

from router.flow.flex_flow import FlexFlow, Integration
from router.flow.warned import of_settings
from router.flow.warning import Surroundings, of_addresses, of_flow, of_flows
from router.settings import Settings, load
from router.store.flow_write import format_record
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


def _to(url: str) -> FlexFlow:
    return flow({"IntegrationType": "external", "Integration.Url": url})


def _at(address: str, channel: str = "sms") -> FlexFlow:
    return flow(INTEGRATIONS["external"] | {"ChannelType": channel, "ContactIdentity": address})


def _in(languages: str) -> FlexFlow:
    return flow(INTEGRATIONS["external"] | {"Language": languages})


WARNED = [
    pytest.param(flow({"IntegrationType": "proxy"}), "names no Proxy service", False, id="no Proxy service"),
    pytest.param(
        flow({"IntegrationType": "task"} | INTEGRATIONS["task"]),
        "makes TaskRouter tasks without a Flex Interaction",
        False,
        id="a bare task",
    ),
    pytest.param(
        replace(flow(), integration=Integration("fax")),
        "goes to fax, which this version does not know: its messages wait",
        False,
        id="of a newer version",
    ),
    pytest.param(_handler("gone"), "names the handler 'gone', which the settings lack", True, id="no such handler"),
    pytest.param(
        replace(_handler("gone"), paused=True), "its messages wait, and become undelivered when it is resumed", False,
        id="no such handler, paused",
    ),
    pytest.param(_handler("theirs"), f"which the settings have, but not for {AC}", True, id="another's handler"),
    pytest.param(_handler("echo"), "their own texts back", True, id="an echo to real customers"),
    pytest.param(flow(INTEGRATIONS["external"] | {"Language": "es,gsw"}), "names gsw, which", False, id="no model"),
    pytest.param(_to("http://10.1.2.3/x"), "goes to 10.1.2.3, a private address", True, id="a private target"),
    pytest.param(_to("http://[::ffff:10.1.2.3]/x"), "goes to ::ffff:10.1.2.3, a private", True, id="mapped into IPv6"),
    pytest.param(_to("http://localhost:3000/x"), "goes to 127.0.0.1, a private address", True, id="localhost"),
    pytest.param(
        _at("+1500555005O"), "with the letter O, which is not a telephone number; did you mean +15005550050?", True,
        id="the letter O",
    ),
    pytest.param(
        _at("whatsapp:+15OO555OO5l", channel="whatsapp"), "letters O, l, which is not a telephone number; did you mean "
        "whatsapp:+15005550051?", True, id="letters on WhatsApp",
    ),
    pytest.param(_at("hello"), "has the address hello", True, id="no number at all"),
    pytest.param(_in("spanish"), "names spanish, which is no language code: did you mean es?", False, id="spanish"),
    pytest.param(_in("deutsch-AT"), "did you mean de-AT?", False, id="deutsch-AT"),
    pytest.param(_in("en,ger,Francais"), "are no language codes: did you mean de, fr?", False, id="ger and francais"),
]  # fmt: skip


@pytest.mark.parametrize(("reported", "says", "fault"), WARNED)
def test_a_flow_that_does_not_work_as_intended_has_a_warning(reported: FlexFlow, says: str, *, fault: bool) -> None:
    """A flow with a defect has one warning with advice; it is a fault if messages are lost or customers harmed."""
    (found,) = of_flow(reported, AROUND)
    assert says in found.text
    assert found.advice
    assert found.fault == fault
    assert of_flows([reported], AROUND) == [found]
    assert of_flows([replace(reported, enabled=False)], AROUND) == []


def test_messages_of_an_unknown_integration_type_wait() -> None:
    """The record of a flow whose integration type this version does not know marks it as paused."""
    newer = replace(flow(), integration=Integration("fax"))
    assert [record.split(" ", 2)[1] for record in map(format_record, (flow(), newer))] == ["0", "1"]


def test_a_flow_without_a_defect_has_no_warning() -> None:
    """A flow with a valid handler, target, Proxy service, address and language has no warning."""
    service = Surroundings(_settings(proxy_service_sid="KS" + "1" * 32), made_up="")
    assert of_flow(_handler("own"), AROUND) == []
    assert of_flow(flow(INTEGRATIONS["external"]), AROUND) == []
    assert of_flow(flow({"IntegrationType": "proxy"}), service) == []
    assert of_flow(_handler("echo"), Surroundings(_settings(), made_up=AC)) == []
    assert Surroundings.of(load({})).made_up == ""
    for address in ("+15005550050", "12345", "*", "MG" + "1" * 32):
        assert of_flow(_at(address), AROUND) == []
    assert of_flow(_at("whatsapp:+15005550050", channel="whatsapp"), AROUND) == []
    assert of_flow(_at("messenger:page", channel="facebook"), AROUND) == []
    assert of_flow(_in("es,pt-BR,zh-Hant,nb,fil"), AROUND) == []
    allowed = AROUND.settings.model_copy(update={"allowed_networks": (ip_network("10.1.0.0/16"),)})
    assert of_flow(_to("http://10.1.2.3/x"), Surroundings(allowed, made_up="")) == []
    assert of_flow(_to("https://internal.example/x"), AROUND) == [], "only a DNS look-up can tell"


def test_two_accounts_flows_for_one_address_have_no_warning() -> None:
    """Two accounts may each have a flow for the same address without a warning."""
    one = flow(INTEGRATIONS["external"] | {"Match": "true", "ContactIdentity": "*"})
    assert (
        of_flows([one, replace(one, sid="FO" + "9" * 32, account_sid=OTHER, match="", language=("es",))], AROUND) == []
    )


def _group(*languages: str, address: str = "+15005550050", **more: str) -> list[FlexFlow]:
    """Make flows of one address, one for each language, "" for the default."""
    made = [_at(address), *[_at(address) for _ in languages[1:]]]
    return [
        replace(each, sid=f"FO{number:032x}", language=tuple(tags.split(",")) if tags else (), **more)  # type: ignore[arg-type]
        for number, (each, tags) in enumerate(zip(made, languages, strict=True))
    ]


def _said(flows: list[FlexFlow], others: list[FlexFlow] | None = None) -> list[str]:
    return [each.text for each in of_flows(flows, AROUND, others=flows if others is None else others)]


def test_an_address_with_languages_and_no_default_flow_has_one_warning() -> None:
    """Language flows without a default get one warning, unless a flow that is always true or for `*` takes the rest."""
    (text,) = _said(_group("es", "en"))
    assert text == (
        "is at an address with flows for es, en and without a default flow: messages in other languages are unrouted"
    )
    flows = _group("es", "en")
    assert _said(_group("es", "en", "")) == []
    assert _said([flows[0], replace(flows[1], language=(), match="true", priority=9)]) == []
    star = replace(_group("", address="*")[0], sid="FO" + "f" * 32)
    assert _said(flows, [*flows, star]) == []
    assert len(_said(flows, [*flows, replace(star, channel_type="whatsapp")])) == 1
    assert len(_said(flows, [*flows, replace(star, enabled=False)])) == 1
    assert of_flows(flows, AROUND) == [], "without `others`, whether a default exists is not known"


def test_two_languages_without_english_have_a_warning() -> None:
    """Two language flows and a default, none of which names English, have a warning."""
    (text,) = _said(_group("es", "pt", ""))
    assert text == (
        "is at an address whose flows name es, pt and not en: an English text may be taken for one of these"
    )
    assert _said(_group("es", "pt", "en-GB", "")) == []
    assert _said(_group("es", "")) == []
    assert _said(_group("es,es-MX", "")) == []


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("https://a.example/webhooks/sms", "https://a.example"),
        ("https://user:secret@a.example/b/webhooks/", "https://a.example/b"),
        ("https://a.example/b", ""),
    ],
)
def test_a_public_url_with_a_webhook_path_has_a_warning(url: str, wanted: str) -> None:
    """A ROUTER_PUBLIC_URL with the path of a webhook has a warning with the right URL and without its password."""
    found = of_settings(load({"ROUTER_PUBLIC_URL": url}))
    assert [wanted in each.advice for each in found] == ([True] if wanted else [])
    assert all(each.fault and "secret" not in each.full for each in found)


def test_an_address_that_points_here_without_a_flow_has_a_warning() -> None:
    """An address that points to this router has a warning unless an enabled flow of its channel takes it."""
    ours = [("sms", "+15005550050")]
    assert ["+15005550050 points to this router" in each.text for each in of_addresses(ours, [])] == [True]
    assert of_addresses(ours, [_at("+15005550050")]) == of_addresses(ours, [_at("*")]) == []
    assert len(of_addresses(ours, [replace(_at("+15005550050"), enabled=False)])) == 1
    assert len(of_addresses(ours, [_at("*", channel="whatsapp")])) == 1
