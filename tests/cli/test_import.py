"""`router flows import` and `router flows diff`, with a local Twilio that the official client calls."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from router.settings import load
from router.twilio_api.client import TwilioError
from router.twilio_api.flows import LiveAccount
from tests.e2e.commands import Cli, invoke
from tests.e2e.twilio_record import address, flex_flow
from tests.e2e.twilio_rest import TwilioRest

AC, TOKEN = "AC" + "7" * 32, "5e" * 16


@pytest.fixture
def twilio() -> Iterator[TwilioRest]:
    """A Twilio without flows and addresses."""
    with TwilioRest(AC, TOKEN) as rest:
        yield rest


@pytest.fixture
def environ(redis_url: str, tmp_path: Path, twilio: TwilioRest) -> dict[str, str]:
    """The settings for an empty store and that Twilio."""
    return {
        "ROUTER_REDIS_URL": redis_url,
        "ROUTER_DATA_DIR": str(tmp_path / "var"),
        "ROUTER_TWILIO_API_URL": twilio.url,
        "TWILIO_ACCOUNT_SID": AC,
        "TWILIO_AUTH_TOKEN": TOKEN,
    }


@pytest.fixture
def cli(environ: dict[str, str]) -> Cli:
    """Run a command with these settings."""
    return lambda *args, given="", **more: invoke(*args, given=given, **environ | more)


def flows(cli: Cli) -> dict[str, dict[str, Any]]:
    """Return the store's flows by name."""
    listed = json.loads(cli("flows", "list", "--limit", "10000", "--json").output)
    return {flow["friendly_name"]: flow for flow in listed}


# -- what becomes of each record --------------------------------------------------------------------------------------


def test_import_keeps_each_flexflows_values(cli: Cli, twilio: TwilioRest) -> None:
    """`import` keeps each FlexFlow's SID, dates and values; afterwards `diff --live` finds no difference."""
    task = {"workspace_sid": "WS" + "1" * 32, "workflow_sid": "WW" + "1" * 32, "channel": "chat", "timeout": 60}
    twilio.flex_flows += [
        flex_flow(1),
        flex_flow(2, integration_type="external", integration={"url": "https://a.example/x", "retry_count": 0}),
        flex_flow(3, integration_type="task", integration=task | {"priority": 2, "creation_on_message": True}),
        flex_flow(4, channel_type="whatsapp", contact_identity="whatsapp:+15550000004", enabled=False, long_lived=True),
        flex_flow(5, channel_type="web", contact_identity=None, janitor_enabled=True, integration_type=None),
    ]
    result = cli("flows", "import")
    assert result.exit_code == 0, result.output
    assert "5 to add" in result.output
    here = flows(cli)
    known = ("sid", "date_created", "chat_service_sid", "channel_type", "enabled", "long_lived", "janitor_enabled")
    for record in twilio.flex_flows:
        flow = here[record["friendly_name"]]
        assert [flow[name] for name in known] == [record[name] for name in known]
        assert flow["integration_type"] == (record["integration_type"] or "studio")
        assert record["integration"].items() <= flow["integration"].items()
        own = f"web:IG{record['sid'][2:]}" if record["channel_type"] == "web" else "*"
        assert flow["contact_identity"] == (record["contact_identity"] or own)
    assert cli("flows", "diff", "--live").exit_code == 0


def test_an_address_configuration_becomes_a_flow(cli: Cli, twilio: TwilioRest) -> None:
    """`import` makes a flow of each address configuration, with the same digits in its SID and its webhook filters."""
    events = ["onMessageAdded", "onConversationRemoved"]
    webhook = {"type": "webhook", "webhook_url": "https://a.example/x", "webhook_method": "GET"}
    twilio.addresses += [
        address(1),
        address(2, {"type": "studio", "studio_flow_sid": "FW" + "2" * 32, "studio_retry_count": 2}),
        address(3, webhook | {"webhook_filters": events}),
        address(4, {"enabled": False}, type="messenger", address="messenger:104"),
        address(5, type="email", address="help@a.example", address_country="US"),
    ]
    assert cli("flows", "import").exit_code == 0
    here = flows(cli)
    assert [here[f"Address {n}"]["sid"] for n in range(1, 6)] == [f"FO{n:032x}" for n in range(1, 6)]
    kinds = {name: (flow["channel_type"], flow["integration_type"], flow["enabled"]) for name, flow in here.items()}
    assert kinds == {
        "Address 1": ("sms", "conversation", True),
        "Address 2": ("sms", "studio", True),
        "Address 3": ("sms", "external", True),
        "Address 4": ("facebook", "conversation", False),
        "Address 5": ("custom", "conversation", True),
    }
    assert here["Address 3"]["integration"]["url"] == "https://a.example/x"
    assert cli("flows", "diff", "--live").exit_code == 0
    twilio.addresses[2]["auto_creation"]["webhook_filters"] = []
    assert "address.webhook_filters" in cli("flows", "diff", "--live").output


def test_a_second_import_keeps_the_parameters_that_twilio_lacks(cli: Cli, twilio: TwilioRest) -> None:
    """A second `import` takes over Twilio's changes and keeps the parameters that only the router has."""
    twilio.flex_flows.append(flex_flow(1))
    cli("flows", "import")
    cli("flows", "apply", "-", given=cli("flows", "export").output + "paused = true\nvalidity_period = 60\n")
    assert cli("flows", "diff", "--live").exit_code == 0
    twilio.flex_flows[0]["integration"]["flow_sid"] = "FW" + "9" * 32
    assert "1 to change" in cli("flows", "import").output
    flow = flows(cli)["Flow 1"]
    assert (flow["paused"], flow["validity_period"], flow["integration"]["flow_sid"]) == (True, 60, "FW" + "9" * 32)


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "a channel that we do not know": (flex_flow(2, channel_type="fax"), "ChannelType: 'fax' is not one of"),
    "an address of another channel": (
        flex_flow(2, contact_identity="whatsapp:+15550000002"),
        "ContactIdentity: 'whatsapp:+15550000002' is an address of whatsapp, not of sms",
    ),
    "a credential in a URL": (
        flex_flow(2, integration_type="external", integration={"url": "https://me:secret@a.example"}),
        "Integration.Url: credentials in the URL are not allowed",
    ),
    "an address that is taken": (
        flex_flow(2, contact_identity="+15550000001"),
        f"+15550000001 has the enabled sms flow FO{1:032x} at Twilio, too; disable one of them",
    ),
    "a SID of another kind": (flex_flow(2, sid="XX" + "2" * 32), "its SID is not that of a FlexFlow"),
    "a value of another shape": (flex_flow(2, enabled=["yes"]), "is not a text, integer or boolean"),
}


@pytest.mark.parametrize(("record", "sentence"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_a_record_that_cannot_be_imported_is_named_and_the_rest_imported(
    cli: Cli, twilio: TwilioRest, record: dict[str, Any], sentence: str
) -> None:
    """A record that cannot be imported is named with the reason, and exit status 1; the others are imported."""
    twilio.flex_flows += [flex_flow(1), record]
    for command in (("flows", "import", "--dry-run"), ("flows", "import"), ("flows", "diff", "--live")):
        result = cli(*command)
        assert result.exit_code == 1
        (line,) = [line for line in result.output.splitlines() if line.startswith("! left out")]
        assert record["sid"] in line
        assert sentence in line
    assert list(flows(cli)) == ["Flow 1"]


def test_import_leaves_out_a_flow_whose_address_is_taken_here(cli: Cli, twilio: TwilioRest) -> None:
    """A flow of Twilio whose address an enabled flow here has is left out, and the error names that flow."""
    own = 'friendly_name = "Own"\nchannel_type = "sms"\ncontact_identity = "+15550000001"\n'
    cli("flows", "apply", "-", given=f"[[flow]]\n{own}integration.url = 'https://a.example'\n")
    twilio.flex_flows.append(flex_flow(1))
    result = cli("flows", "import")
    assert result.exit_code == 1
    assert f"has the enabled sms flow {flows(cli)['Own']['sid']} here; disable one of them" in result.output
    assert list(flows(cli)) == ["Own"]


def test_a_record_listed_as_flexflow_and_address_is_imported_once(cli: Cli, twilio: TwilioRest) -> None:
    """A record that Twilio lists as FlexFlow and as address with the same digits is imported once."""
    twilio.flex_flows.append(flex_flow(1))
    twilio.addresses.append(address(1))
    assert "1 to add" in cli("flows", "import").output
    assert list(flows(cli)) == ["Flow 1"]


# -- how it is shown, and what it costs when something fails ----------------------------------------------------------


def test_a_dry_run_shows_everything_and_writes_nothing(cli: Cli, twilio: TwilioRest) -> None:
    """`import --dry-run` shows the changes and writes nothing."""
    twilio.flex_flows.append(flex_flow(1))
    result = cli("flows", "import", "--dry-run")
    assert result.exit_code == 0
    assert "+ add     sms +15550000001  “Flow 1”" in result.output
    assert "this was a dry run" in result.output
    assert not flows(cli)


def test_import_json_reports_the_changes(cli: Cli, twilio: TwilioRest) -> None:
    """`import --json` needs --yes or --dry-run, and reports the changes and whether they were written."""
    twilio.flex_flows.append(flex_flow(1))
    assert cli("flows", "import", "--json").exit_code == 2
    for option, written in (("--dry-run", False), ("--yes", True)):
        report = json.loads(cli("flows", "import", option, "--json").output)
        assert report["written"] is written
        (change,) = report["changes"]
        assert (change["kind"], change["friendly_name"]) == ("add", "Flow 1")
        assert change["fields"]["integration_type"] == {"before": None, "after": "studio"}
    report = json.loads(cli("flows", "import", "--yes", "--json").output)
    assert report == {"changes": [], "left_out": [], "written": False}


def test_an_unchanged_account_imported_again_changes_nothing(cli: Cli, twilio: TwilioRest) -> None:
    """A second `import` changes nothing and says so; the log names the import."""
    twilio.flex_flows.append(flex_flow(1))
    cli("flows", "import", "--yes")
    assert "Nothing to change: Twilio has 1 flows and addresses." in cli("flows", "import", "--yes").output
    (change,) = json.loads(cli("flows", "log", "--json").output)
    assert (change["by"], change["action"]) == ("router flows import", "created")


def test_all_pages_are_read_from_router_twilio_api_url(cli: Cli, twilio: TwilioRest) -> None:
    """`import` reads all pages from ROUTER_TWILIO_API_URL, though Twilio's links name another host."""
    twilio.most = 7
    twilio.flex_flows += [flex_flow(number) for number in range(1, 31)]
    twilio.addresses += [address(number) for number in range(31, 46)]
    assert cli("flows", "import").exit_code == 0
    assert len(flows(cli)) == 45
    assert [target.partition("?")[0] for target in twilio.requests] == ["/v1/FlexFlows"] * 5 + [
        "/v1/Configuration/Addresses"
    ] * 3


def test_import_writes_nothing_if_a_page_cannot_be_read(cli: Cli, twilio: TwilioRest) -> None:
    """If a page cannot be read, `import` writes nothing, and prints one sentence with exit status 1."""
    twilio.most = 2
    twilio.flex_flows += [flex_flow(number) for number in range(1, 6)]
    twilio.refuse[2] = 500
    result = cli("flows", "import", "--yes")
    assert result.exit_code == 1
    assert result.output.startswith("router: Twilio's REST API answered 500: ")
    assert len(result.output.splitlines()) == 1
    assert not flows(cli)
    assert cli("flows", "diff", "--live").exit_code == 2


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        pytest.param(
            {"TWILIO_AUTH_TOKEN": "6f" * 16},
            f"router: Twilio refuses the credentials of {AC} (401): is its auth token, the first one in the settings, "
            "still in use?\n",
            id="wrong credentials",
        ),
        pytest.param(
            {"ROUTER_TWILIO_API_URL": "http://127.0.0.1:9"},
            "router: Twilio's REST API at http://127.0.0.1:9 cannot be reached: Connection refused\n",
            id="no server",
        ),
        pytest.param(
            {"ROUTER_TWILIO_API_URL": "http://nowhere.invalid"},
            "router: Twilio's REST API at http://nowhere.invalid cannot be reached: ",
            id="no such name",
        ),
    ],
)
def test_a_refused_or_unreachable_twilio_is_one_sentence(cli: Cli, more: dict[str, str], sentence: str) -> None:
    """If Twilio refuses or cannot be reached, `import` prints one sentence and `diff` exits with status 2."""
    result = cli("flows", "import", **more)
    assert result.exit_code == 1
    assert result.output.startswith(sentence)
    assert len(result.output.splitlines()) == 1
    assert cli("flows", "diff", "--live", **more).exit_code == 2


def test_a_twilio_that_hangs_is_given_up(environ: dict[str, str], twilio: TwilioRest) -> None:
    """A request to a Twilio that does not answer ends after our time limit."""
    twilio.released.clear()
    settings = load(environ)
    with pytest.raises(TwilioError, match=r"cannot be reached: .*timed out"):
        list(LiveAccount(settings, settings.accounts[0], seconds=0.1).flex_flows())


def test_credentials_never_follow_a_link_away_from_twilio(environ: dict[str, str]) -> None:
    """A link to a host that is not Twilio's is refused before a request is sent."""
    settings = load({name: value for name, value in environ.items() if name != "ROUTER_TWILIO_API_URL"})
    client = LiveAccount(settings, settings.accounts[0]).client
    for url in ("https://twilio.com.example/x", "http://flex-api.twilio.com/x", "https://eviltwilio.com/x"):
        with pytest.raises(TwilioError, match="which is not Twilio"):
            client.request("GET", url)


# -- drift ------------------------------------------------------------------------------------------------------------


def test_drift_is_reported_as_text_and_json(cli: Cli, twilio: TwilioRest) -> None:
    """`diff --live` shows what was added, changed and removed at Twilio since the import, also as JSON."""
    twilio.flex_flows += [flex_flow(number) for number in (1, 2, 3)]
    cli("flows", "import")
    twilio.flex_flows[:] = [flex_flow(2, friendly_name="New name"), flex_flow(3), flex_flow(4)]
    result = cli("flows", "diff", "--live")
    assert result.exit_code == 1
    for words in ("+ add     sms +15550000004", "friendly_name: Flow 2 → New name", f"< only here  FO{1:032x}"):
        assert words in result.output
    reported = cli("flows", "diff", "--live", "--json")
    assert reported.exit_code == 1
    drift = json.loads(reported.output)
    assert drift["same"] is False
    assert [(each["kind"], each["friendly_name"]) for each in drift["changes"]] == [
        ("change", "New name"),
        ("add", "Flow 4"),
    ]
    assert drift["changes"][0]["fields"] == {"friendly_name": {"before": "Flow 2", "after": "New name"}}
    assert [each["friendly_name"] for each in drift["only_here"]] == ["Flow 1"]


def test_flows_that_twilio_cannot_have_are_no_difference(cli: Cli) -> None:
    """`diff --live` ignores flows that Twilio cannot have, as of type proxy or with a language."""
    proxy = '[[flow]]\nfriendly_name = "Proxy"\nchannel_type = "sms"\n'
    spanish = proxy.replace("Proxy", "Spanish") + 'language = ["es"]\nintegration.url = "https://a.example"\n'
    cli("flows", "apply", "-", given=proxy + spanish)
    result = cli("flows", "diff", "--live")
    assert (result.exit_code, result.output) == (0, "No difference: the same 0 flows here and in Twilio.\n")


def test_a_file_is_compared_as_apply_would(cli: Cli, twilio: TwilioRest, tmp_path: Path) -> None:
    """`diff FILE` shows what `apply --prune` would change, exits as diff(1) does, and writes nothing."""
    twilio.flex_flows += [flex_flow(1), flex_flow(2)]
    cli("flows", "import")
    file = tmp_path / "flows.toml"
    file.write_text(cli("flows", "export").output, encoding="utf-8")
    assert cli("flows", "diff", str(file)).exit_code == 0
    file.write_text(file.read_text().partition(f'[[flow]]\nsid = "FO{2:032x}"')[0], encoding="utf-8")
    result = cli("flows", "diff", str(file))
    assert result.exit_code == 1
    assert f"- remove  FO{2:032x}" in result.output
    file.write_text("[[flow", encoding="utf-8")
    assert cli("flows", "diff", str(file)).exit_code == 2
    assert len(flows(cli)) == 2
    for nothing_or_both in ((), (str(file), "--live")):
        assert cli("flows", "diff", *nothing_or_both).exit_code == 2
