from collections.abc import Collection, Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.cli.run.seed import echo_flows
from router.flow.diff import Change, diff, in_groups
from router.flow.file import FileFlow, InvalidFlowFile, export, load
from router.flow.flex_flow import FlexFlow
from router.flow.integration_type import INTEGRATION_TYPES
from router.flow.parameter import CHANNEL_TYPES
from router.message.channel import ALL, WEB
from tests.core.flows import AC, FO, HANDLERS, flow, forms

CONFIG = Path(__file__).parents[2] / "config"
SMS = '[[flow]]\nfriendly_name = "Support"\nchannel_type = "sms"\n'
KEY = 'integration.url = "https://example.com"\nintegration.signing_key = "hush"\n'


def _load(
    text: str, *, now: int = 1_700_000_000, account_sid: str = AC, handlers: Collection[str] = HANDLERS
) -> tuple[FileFlow, ...]:
    numbers = count(1)
    return load(
        text,
        file="flows.toml",
        account_sid=account_sid,
        handlers=handlers,
        now=now,
        new_sid=lambda: f"FO{next(numbers):032x}",
    )


def _flows(text: str) -> list[FlexFlow]:
    return [each.flow for each in _load(text)]


def _kinds(changes: Iterable[Change]) -> list[str]:
    return [change.kind for change in changes]


@given(st.lists(forms(), max_size=4))
def test_an_export_loads_back_identically(drawn: list[dict[str, str]]) -> None:
    """An export with secrets loads as the same flows in the same order."""
    flows = [flow(form | {"Language": "en"}, sid=f"FO{n:032x}") for n, form in enumerate(drawn)]
    text = export(flows, secrets=True)
    assert _flows(text) == flows
    assert export(_flows(text), secrets=True) == text


@given(st.lists(forms(), max_size=4))
def test_an_export_changes_nothing_when_it_is_applied(drawn: list[dict[str, str]]) -> None:
    """Applying an export without secrets changes nothing: signing keys stay, and dates are not compared."""
    flows = [
        replace(flow(form | {"Language": "en"}, sid=f"FO{n:032x}"), extra={"type": "webhook"})
        for n, form in enumerate(drawn)
    ]
    assert diff(flows, _load(export(flows), now=1_800_000_000), prune=True) == ()


def test_an_export_shows_secrets_only_on_request() -> None:
    """An export contains a signing key only if `secrets` is asked for, as flow files are kept in repositories."""
    flows = _flows(SMS + KEY)
    assert "hush" not in export(flows)
    assert 'integration.signing_key = "hush"' in export(flows, secrets=True)


def test_an_export_omits_defaults() -> None:
    """An export has one line for each parameter that is not at its default."""
    assert export(_flows(f'{SMS}sid = "{FO}"\nlanguage = ["en", "es"]\npaused = true\npriority = 2\n')) == (
        f'[[flow]]\nsid = "{FO}"\nfriendly_name = "Support"\nchannel_type = "sms"\ncontact_identity = "*"\n'
        'integration_type = "proxy"\nlanguage = ["en", "es"]\npriority = 2\npaused = true\n'
    )


def test_values_may_be_written_as_toml_or_as_a_form() -> None:
    """A list may be comma separated text, a number or truth value may be quoted, `integration` may be a table."""
    toml = _flows(SMS + 'language = ["en", "es"]\npriority = 2\npaused = true\nintegration.retry_count = 1')
    form = _flows(SMS + 'language = "en,es"\npriority = "2"\npaused = "true"\n[flow.integration]\nretry_count = "1"')
    assert toml == form


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_a_file_may_be_empty(text: str) -> None:
    """A file without flows is valid and has none."""
    assert _load(text) == ()


def test_a_new_flow_is_given_a_sid_and_a_date() -> None:
    """A flow without a sid gets a new SID and the present date; `account_sid` may be repeated in the file."""
    (made,) = _load(SMS + f'account_sid = "{AC}"')
    assert (made.flow.sid, made.flow.account_sid, made.flow.date_created) == (f"FO{1:032x}", AC, 1_700_000_000)
    assert made.given == {"friendly_name", "channel_type", "account_sid"}


@pytest.mark.parametrize(
    ("text", "entry", "field", "says"),
    [
        pytest.param("[[flow", 0, "", "not valid TOML", id="not TOML"),
        pytest.param("x = 1", 0, "x", "[[flow]]", id="a key outside"),
        pytest.param('[flow]\nfriendly_name = "A"', 0, "flow", "[[flow]]", id="one table instead of many"),
        pytest.param(SMS + 'contct_identity = "1"', 1, "contct_identity", "did you mean contact_identity", id="typo"),
        pytest.param(SMS + "integration.urll = 1", 1, "integration.urll", "did you mean integration.url", id="nested"),
        pytest.param(SMS + 'integration = "x"', 1, "integration", "not a table", id="integration is no table"),
        pytest.param(SMS + 'Paused = "true"', 1, "Paused", "did you mean paused", id="a wire name"),
        pytest.param('[[flow]]\nchannel_type = "sms"', 1, "friendly_name", "required", id="no name"),
        pytest.param('[[flow]]\nfriendly_name = "A"', 1, "channel_type", "required", id="no channel"),
        pytest.param(SMS + "validity_period = 1.5", 1, "validity_period", "not 1.5", id="a float"),
        pytest.param(SMS + "language = [1]", 1, "language", "list of texts", id="a list of numbers"),
        pytest.param(SMS + 'language = ["en,es"]', 1, "language", "list of texts", id="a comma in a list"),
        pytest.param(SMS + 'paused = "maybe"', 1, "paused", "neither true nor false", id="a value"),
        pytest.param(SMS + 'sid = "FO1"', 1, "sid", "FO and 32", id="a SID"),
        pytest.param(SMS + 'account_sid = "AC1"', 1, "account_sid", "not the account", id="another account"),
        pytest.param(SMS + 'integration_type = "studio"', 1, "integration.flow_sid", "required", id="incomplete"),
        pytest.param(SMS + 'integration.handler = "echo"', 1, "integration.handler", "not used", id="without effect"),
        pytest.param(SMS + "priority = " + "9" * 5000, 0, "", "not valid TOML", id="a huge number"),
        pytest.param(SMS + SMS, 2, "contact_identity", "flow 1", id="two defaults for one address"),
        pytest.param(f'{SMS}sid = "{FO}"\n{SMS}sid = "{FO}"\nenabled = false', 2, "sid", "flow 1", id="a SID twice"),
    ],
)
def test_a_mistake_is_named(text: str, entry: int, field: str, says: str) -> None:
    """A mistake is reported with its file, entry, field and reason."""
    with pytest.raises(InvalidFlowFile) as caught:
        _load(text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.entry, problem.field) == ("flows.toml", entry, field)
    assert says in problem.reason


def test_all_mistakes_are_named_at_once() -> None:
    """All mistakes of a file are reported together."""
    with pytest.raises(InvalidFlowFile) as caught:
        _load(f'{SMS}paused = "maybe"\n{SMS}prority = 1\nvalidity_period = 1.5\n{SMS}')
    float_ = "must be a text, an integer, true or false, or a list of texts, not 1.5"
    assert str(caught.value).splitlines() == [
        "flows.toml, flow 1 'Support', paused: 'maybe' is neither true nor false",
        "flows.toml, flow 2 'Support', prority: no such key; did you mean priority?",
        f"flows.toml, flow 2 'Support', validity_period: {float_}",
    ]


def test_an_address_may_have_more_flows_than_its_default() -> None:
    """Disabled flows, flows of another channel, and flows with a language or match do not conflict with a default."""
    whatsapp = '[[flow]]\nfriendly_name = "W"\nchannel_type = "whatsapp"\n'
    assert len(_load(f'{SMS}{SMS}enabled = false\n{SMS}language = "en"\n{SMS}match = "true"\n{whatsapp}')) == 5


def test_the_same_file_again_changes_nothing() -> None:
    """Applying a file twice changes nothing: flows without a sid are recognized."""
    text = f'{SMS}{SMS}language = "en"\n{SMS}language = "es"\n'
    first = _load(text)
    assert _kinds(diff([], first)) == ["add", "add", "add"]
    stored = [replace(each.flow, sid=f"FO{n:031x}a") for n, each in enumerate(first)]
    assert diff(stored, _load(text, now=1_800_000_000), prune=True) == ()


def test_a_change_lists_each_parameters_old_and_new_value() -> None:
    """A change keeps the flow's SID and creation date, and lists each changed parameter's old and new value."""
    (before,) = _flows(f'{SMS}sid = "{FO}"')
    text = f'{SMS}sid = "{FO}"\npaused = true\ncontact_identity = "+15551234567"\n{KEY}'
    (change,) = diff([before], _load(text, now=1_800_000_000))
    assert change.kind == "change"
    assert (change.flow.sid, change.flow.date_created, change.flow.date_updated) == (FO, 1_700_000_000, 1_800_000_000)
    fields = {each.key: (each.before, each.after) for each in change.differences()}
    assert fields["paused"] == (False, True)
    assert fields["contact_identity"] == ("*", "+15551234567")
    assert fields["integration_type"] == ("proxy", "external")
    assert "hush" not in repr(fields)


def test_a_renamed_flow_is_the_same_flow() -> None:
    """A flow without a sid and with a new name is recognized by its address, language and match."""
    stored = _flows(f'{SMS}sid = "{FO}"\n{SMS}language = "en"')
    renamed = f'[[flow]]\nfriendly_name = "Help"\nchannel_type = "sms"\n{SMS}language = "en"'
    (change,) = diff(stored, _load(renamed), prune=True)
    assert (change.kind, change.flow.sid, change.flow.friendly_name) == ("change", FO, "Help")


def test_flows_missing_in_the_file_are_removed_only_with_prune() -> None:
    """Flows that the file does not have are removed only with `prune`."""
    stored = _flows(f'{SMS}sid = "{FO}"')
    assert diff(stored, ()) == ()
    assert diff(stored, (), prune=True) == (Change(stored[0], None),)


def test_a_signing_key_is_lost_only_by_another_type_or_an_empty_value() -> None:
    """A file that omits a signing key keeps it; another integration type or an empty value removes it."""
    stored = _flows(SMS + KEY)
    (kept,) = diff(stored, _load(SMS + 'integration.url = "https://example.org"'))
    assert kept.flow.integration.signing_key == "hush"
    (proxy,) = diff(stored, _load(SMS))
    assert proxy.flow.integration.signing_key == ""
    (removed,) = diff(stored, _load(SMS + KEY.replace("hush", "")))
    assert removed.flow.integration.signing_key == ""


def test_a_second_default_for_an_address_is_refused_before_writing() -> None:
    """A second default flow for an address is refused before anything is written, and names the first one."""
    stored = _flows(f'{SMS}sid = "{FO}"\n')
    text = f'{SMS}sid = "FO{"9" * 32}"'
    with pytest.raises(InvalidFlowFile, match=f"flow 1 'Support', contact_identity: .* match: {FO} 'Support'"):
        diff(stored, _load(text))
    assert _kinds(diff(stored, _load(text), prune=True)) == ["remove", "add"]


def test_a_flow_leaves_an_address_before_another_takes_it() -> None:
    """Changes are ordered so that a flow leaves an address before another flow takes it."""
    stored = _flows(f'{SMS}sid = "{FO}"')
    text = f'{SMS}{SMS}sid = "{FO}"\ncontact_identity = "+15551234567"\n'
    changes = diff(stored, _load(text))
    assert [(change.kind, change.flow.contact_identity) for change in changes] == [
        ("change", "+15551234567"),
        ("add", "*"),
    ]


def test_changes_that_share_an_address_are_one_group() -> None:
    """Changes that share an old or new address are written as one group; other addresses are separate groups."""
    stored = [flow(ContactIdentity=f"+1555000000{n}", sid=f"FO{n:032x}") for n in range(6)]
    one, two, three, gone, five, _ = stored
    changes = [
        Change(one, replace(one, contact_identity=two.contact_identity)),
        Change(two, replace(two, contact_identity=three.contact_identity)),
        Change(five, replace(five, paused=True)),
        Change(gone, None),
        Change(three, replace(three, contact_identity="+15550000009")),
        Change(None, replace(gone, sid=FO)),
    ]
    assert [[each.flow.sid for each in group] for group in in_groups(changes)] == [
        [one.sid, two.sid, three.sid],
        [five.sid],
        [gone.sid, FO],
    ]


def test_the_example_shows_every_channel_and_integration_type() -> None:
    """config/flows.toml is valid and has a flow of each channel and of each integration type."""
    text = (CONFIG / "flows.toml").read_text(encoding="utf-8")
    flows = [each.flow for each in _load(text, account_sid="AC" + "0" * 32)]
    assert {each.channel_type for each in flows} == set(CHANNEL_TYPES)
    assert {each.integration.type for each in flows} == set(INTEGRATION_TYPES)


def test_the_demo_has_a_flow_for_each_channel() -> None:
    """The demo has one valid flow per channel, which sends every message to the echo handler."""
    numbers = count(1)
    flows = echo_flows(AC, now=1_700_000_000, new_sid=lambda: f"FO{next(numbers):032x}")
    assert [(each.channel_type, each.friendly_name) for each in flows] == [
        (each.name, f"Demo: {each.title}") for each in ALL.values()
    ]
    assert {(each.integration.type, each.integration.handler) for each in flows} == {("handler", "echo")}
    for each in flows:
        assert each.has_own_address if each.channel_type == WEB else each.contact_identity == "*"
    assert [each.flow for each in _load(export(flows), handlers=("echo",))] == flows


def test_every_invalid_value_of_an_entry_is_reported_at_once() -> None:
    """All invalid values are reported together, without those that only follow from another."""
    text = """
[[flow]]
channel_type = "sms"
contact_identity = "whatsapp:+15550000001"
integration_type = "external"
integration.url = "nowhere"
integration.retry_count = 99
priority = "high"
enabledd = true

[[flow]]
friendly_name = "Second"
channel_type = "pigeon"
validity_period = -1
integration_type = "handler"
integration.handler = "unknown"
"""
    with pytest.raises(InvalidFlowFile) as caught:
        _load(text)
    assert [(each.entry, each.field) for each in caught.value.problems] == [
        (1, "enabledd"),
        (1, "integration.url"),
        (1, "integration.retry_count"),
        (1, "priority"),
        (1, "contact_identity"),
        (2, "channel_type"),
        (2, "validity_period"),
        (2, "integration.handler"),
    ]
