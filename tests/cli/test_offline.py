"""The commands without a running router: flows in a store, errors, and output."""

import json
import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from router.cli import COMMANDS, main
from router.diagnosis.twilio_view import spoken
from router.flow.integration_type import INTEGRATION_TYPES
from router.printable import age, ago, clean
from tests.e2e.commands import FLOWS, Cli, external, invoke
from tests.e2e.running import ROUTER, clean_environ
from tests.integrations.sending import integrations, settings
from tests.integrations.target import Target

AC, TOKEN = "AC" + "7" * 32, "5e" * 16
SMS = {"friendly_name": "Support", "channel_type": "sms"}
TASK = {
    "integration_type": "task",
    "integration.workspace_sid": f"WS{1:032x}",
    "integration.workflow_sid": f"WW{1:032x}",
}
URL = {"integration.url": "https://a.example/x"}


@pytest.fixture
def offline(redis_url: str, tmp_path: Path) -> Cli:
    """Run a command over an empty store, without a router."""
    settings = {"ROUTER_REDIS_URL": redis_url, "ROUTER_DATA_DIR": str(tmp_path / "var")}
    settings |= {"TWILIO_ACCOUNT_SID": AC, "TWILIO_AUTH_TOKEN": TOKEN}
    return lambda *args, given="": invoke(*args, given=given, **settings)


# --- flows ---


def test_a_file_applied_twice_changes_nothing_more(offline: Cli) -> None:
    """Applying the same file again, or the output of `export`, changes nothing."""
    given = FLOWS.replace('"handler"', '"proxy"').replace('integration.handler = "echo"\n', "")
    first = offline("flows", "apply", "-", given=given)
    assert first.exit_code == 0, first.output
    assert "+ add     sms +15005550006  “Echo”" in first.output
    assert "5 to add" in first.output
    exported = offline("flows", "export").output
    for text in (given, exported):
        assert "Nothing to change" in offline("flows", "apply", "-", "--prune", "--yes", given=text).output
    listed = offline("flows", "list", "--channel", "sms").output
    assert sorted(line.split()[4] for line in listed.splitlines() if line.startswith("FO")) == ["enabled", "paused"]


def test_what_changes_is_shown_and_a_dry_run_changes_nothing(offline: Cli) -> None:
    """A changed field is shown with both values, and --dry-run changes nothing."""
    offline("flows", "apply", "-", given=external("+15005550006", "https://a.example/x"))
    given = external("+15005550006", "https://b.example/x", enabled="false")
    for _ in range(2):
        shown = offline("flows", "apply", "-", "--dry-run", given=given).output
        assert "integration.url: https://a.example/x → https://b.example/x" in shown
        assert "enabled: true → false" in shown
    assert "Done." in offline("flows", "apply", "-", given=given).output
    assert "disabled" in offline("flows", "list").output


@pytest.mark.parametrize(
    ("given", "sentences"),
    [
        pytest.param("[[flow", ["<stdin>: not valid TOML"], id="not TOML"),
        pytest.param(
            external("+15005550007", "https://a.example/") + external("+1", "ftp://a.example/", channel_tipe="'x'"),
            ["<stdin>, flow 2 'To +1', channel_tipe: no such key; did you mean channel_type?"],
            id="an unknown key",
        ),
        pytest.param(
            external("+15005550007", "https://a.example/") + external("+1500", "a.example"),
            ["<stdin>, flow 2 'To +1500', integration.url: not an absolute http or https URL"],
            id="a value",
        ),
        pytest.param(
            external("+15005550006", "https://b.example/", sid='"FO' + "1" * 32 + '"'),
            ["<stdin>, flow 1 'To +15005550006', contact_identity: +15005550006 already has an enabled sms flow"],
            id="an address that a flow of the store has",
        ),
    ],
)
def test_an_error_in_a_file_changes_nothing(offline: Cli, given: str, sentences: list[str]) -> None:
    """A file with an error is not applied at all; the error names file, entry, field and reason."""
    offline("flows", "apply", "-", given=external("+15005550006", "https://a.example/x"))
    before = offline("flows", "export").output
    result = offline("flows", "apply", "-", given=given)
    assert result.exit_code == 1
    for sentence in sentences:
        assert sentence in result.stderr
    assert offline("flows", "export").output == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        pytest.param({"integration_type": "proxy"}, "    ! names no Proxy service: ", id="no Proxy service"),
        pytest.param(TASK, "    ! makes TaskRouter tasks without a Flex Interaction: Flex UI shows ", id="task"),
    ],
)
def test_apply_prints_a_flows_warning_under_it(offline: Cli, more: dict[str, str], said: str) -> None:
    """`apply` writes a flow that will not work as intended, and prints a warning under it."""
    given = "".join(f'{key} = "{value}"\n' for key, value in (SMS | more).items())
    result = offline("flows", "apply", "-", given=f"[[flow]]\n{given}")
    assert result.exit_code == 0, result.output
    assert said in result.output
    assert "! Flows with warnings: 1; see the lines with !\n! no router runs" in result.output


def test_a_missing_handler_is_reported_by_list_apply_and_doctor(redis_url: str, tmp_path: Path) -> None:
    """`flows list`, `flows apply` and `doctor` report a flow whose handler is no longer in the settings."""
    config = tmp_path / "router.toml"
    environ = {"ROUTER_REDIS_URL": redis_url, "ROUTER_CONFIG": str(config), "ROUTER_DATA_DIR": str(tmp_path)}
    account = f'[[account]]\nsid = "{AC}"\nauth_tokens = ["{TOKEN}"]\n'
    config.write_text(f'{account}[handlers]\norders = "shop:handle"\n')
    flow = '[[flow]]\nfriendly_name = "Orders"\nchannel_type = "sms"\n'
    flow += 'integration_type = "handler"\nintegration.handler = "orders"\n'
    assert "! sms" not in invoke("flows", "apply", "-", given=flow, **environ).output
    assert "! sms" not in invoke("flows", "list", **environ).output
    config.write_text(account)
    said = "names the handler 'orders', which the settings lack: its messages become undelivered"
    listed = invoke("flows", "list", **environ).output
    assert f"! sms *  “Orders” {said}. Write orders = " in listed
    assert "name an existing handler: echo" in listed
    another = external("*", "https://a.example/", match="'num_media > 0'")
    assert said in invoke("flows", "apply", "-", given=another, **environ).output
    report = json.loads(invoke("doctor", "--offline", "--json", **environ).output)
    (check,) = [each for each in report["checks"] if each["name"] == "flows"]
    assert (check["state"], said in check["found"]) == ("bad", True)


def test_every_integration_type_has_a_sender() -> None:
    """Each integration type has a sender."""
    assert set(INTEGRATION_TYPES) == set(integrations(settings())._senders)


def test_apply_json_reports_the_changes(offline: Cli) -> None:
    """`apply --json` needs --yes or --dry-run, and reports the changes and whether they were written."""
    offline("flows", "apply", "-", given=external("+15005550006", "https://a.example/x"))
    given = external("+15005550006", "https://b.example/x")
    assert offline("flows", "apply", "-", "--json", given=given).exit_code == 2
    for option, written in (("--dry-run", False), ("--yes", True)):
        reported = json.loads(offline("flows", "apply", "-", option, "--json", given=given).output)
        (change,) = reported["changes"]
        assert (change["kind"], reported["written"]) == ("change", written)
        assert change["fields"] == {
            "integration.url": {"before": "https://a.example/x", "after": "https://b.example/x"}
        }
    reported = json.loads(offline("flows", "apply", "-", "--yes", "--json", given=given).output)
    assert reported | {"unready": ""} == {"changes": [], "warnings": [], "unready": "", "written": False, "read": True}
    assert reported["unready"].startswith("no router runs with this store")


def test_a_match_that_cannot_work_is_refused_with_its_place(offline: Cli) -> None:
    """An invalid Match is refused with file, flow, column and what to write instead, and nothing is written."""
    given = external("+15005550006", "https://a.example/x", match="'chanel == \"sms\"'")
    result = offline("flows", "apply", "-", given=given)
    assert result.exit_code == 1
    assert (
        "<stdin>, flow 1 'To +15005550006', match: column 1: no variable is called chanel; did you mean channel?"
    ) in result.stderr
    assert "No flows yet" in offline("flows", "list").output


def test_flows_that_no_message_reaches_are_warned_of(offline: Cli) -> None:
    """`apply` warns of a flow that no message reaches, with --dry-run and --json, too."""
    ours = "+15005550006"
    given = external(ours, "https://a.example/x", match="'body == \"menu\"'", priority="5")
    assert "! sms" not in offline("flows", "apply", "-", given=given).output
    given += external(ours, "https://b.example/x", match="'percent(100)'").replace('"To', '"All')
    said = "! sms +15005550006  “To +15005550006” takes no message: 'All +15005550006' (FO"
    assert said in offline("flows", "apply", "-", "--dry-run", given=given).output
    (warning,) = json.loads(offline("flows", "apply", "-", "--dry-run", "--json", given=given).output)["warnings"]
    assert (warning["contact_identity"], warning["friendly_name"]) == (ours, f"To {ours}")
    assert warning["warning"].endswith("takes them first")
    assert said in offline("flows", "apply", "-", given=given).output


@pytest.mark.parametrize("stopped", ["enabled = false", "paused = true"])
def test_a_flow_whose_handler_is_gone_can_be_stopped_by_its_file(offline: Cli, stopped: str) -> None:
    """A flow whose handler is missing can be applied paused or disabled, and is refused otherwise."""
    flow = FLOWS.split("[[flow]]")[1].replace('"echo"', '"gone"')
    refused = offline("flows", "apply", "-", given=f"[[flow]]{flow}")
    assert (refused.exit_code, "integration.handler" in refused.stderr) == (1, True)
    applied = offline("flows", "apply", "-", given=f"[[flow]]{flow}{stopped}\n")
    assert applied.exit_code == 0, applied.stderr
    assert "names the handler 'gone'" in applied.output


def test_new_flows_are_tried_in_the_order_of_the_file(offline: Cli) -> None:
    """New flows get SIDs in the order of the file, which decides between flows of equal Priority."""
    names = [f"Flow {n}" for n in range(12)]
    url, rule = "https://a.example/x", "'num_media >= 0'"
    given = "".join(
        external("+15005550006", url, match=rule).replace('"To +15005550006"', f'"{name}"') for name in names
    )
    assert offline("flows", "apply", "-", given=given).exit_code == 0
    flows = json.loads(offline("flows", "list", "--json").output)
    assert [flow["friendly_name"] for flow in sorted(flows, key=lambda flow: flow["sid"])] == names


def test_only_prune_removes_and_only_with_yes(offline: Cli) -> None:
    """Flows that the file does not have are removed only with --prune, and without a terminal only with --yes."""
    both = external("+15005550006", "https://a.example/x") + external("+15005550007", "https://a.example/x")
    offline("flows", "apply", "-", given=both)
    one = external("+15005550006", "https://a.example/x")
    assert "Nothing to change" in offline("flows", "apply", "-", given=one).output
    refused = offline("flows", "apply", "-", "--prune", given=one)
    assert refused.exit_code == 1
    assert "1 to remove" in refused.output
    assert "add --yes" in refused.stderr
    assert offline("flows", "export").output.count("[[flow]]") == 2
    assert offline("flows", "apply", "-", "--prune", "--yes", given=one).exit_code == 0
    assert offline("flows", "export").output.count("[[flow]]") == 1


def test_flows_may_exchange_their_addresses(offline: Cli) -> None:
    """One `apply` may exchange the addresses of two flows, or replace a flow by a new one at its address."""
    numbers = ["+15005550001", "+15005550002"]
    flows = [external(number, "https://a.example/x", sid=f'"FO{n:032x}"') for n, number in enumerate(numbers)]
    offline("flows", "apply", "-", given="".join(flows))
    swapped = "".join(flows).replace(f'"{numbers[0]}"', '"first"').replace(f'"{numbers[1]}"', f'"{numbers[0]}"')
    done = offline("flows", "apply", "-", given=swapped.replace('"first"', f'"{numbers[1]}"'))
    assert "Done." in done.output, done.output
    listed = json.loads(offline("flows", "list", "--json").output)
    assert [each["contact_identity"] for each in listed] == numbers
    other = flows[0].replace(f"FO{0:032x}", f"FO{9:032x}")
    assert "Done." in offline("flows", "apply", "-", "--prune", "--yes", given=other).output
    assert [each["sid"] for each in json.loads(offline("flows", "list", "--json").output)] == [f"FO{9:032x}"]


def test_a_thousand_flows_can_be_applied_and_the_diff_is_cut(offline: Cli) -> None:
    """`apply` writes a thousand flows, and shows the first hundred changes."""
    given = "".join(external(f"+1500555{number:04d}", "https://a.example/x") for number in range(1000))
    result = offline("flows", "apply", "-", given=given)
    assert result.exit_code == 0, result.output
    assert "… and 900 more\n1,000 to add\n! no router runs" in result.output
    assert "The newest 50 of 1,000 flows" in offline("flows", "list").output
    assert "Nothing to change: the 1,000 flows" in offline("flows", "apply", "-", given=given).output


# --- all of them ---


def test_simulate_without_to_writes_to_a_flows_address(offline: Cli) -> None:
    """`simulate` without --to writes to the address of the channel's flow."""
    offline("flows", "apply", "-", given=external("+15005550099", "https://a.example/x"))
    with Target() as webhook:
        shown = offline("simulate", "sms", "--url", webhook.url()).output
    assert "+14155550100 → +15005550099" in shown


@pytest.mark.parametrize(
    ("command", "next_"),
    [
        pytest.param(["flows", "list"], "router flows apply FILE", id="flows"),
        pytest.param(["deliveries", "list"], "router simulate sms", id="deliveries"),
    ],
)
def test_an_empty_list_says_what_to_do_next(offline: Cli, command: list[str], next_: str) -> None:
    """An empty list says what to do next; with --json it is an empty list."""
    assert next_ in offline(*command).output
    assert json.loads(offline(*command, "--json").output) == []


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["flows", "list"], id="flows list"),
        pytest.param(["flows", "export"], id="flows export"),
        pytest.param(["deliveries", "list"], id="deliveries list"),
        pytest.param(["deliveries", "show", "SM" + "0" * 32], id="deliveries show"),
        pytest.param(["deliveries", "replay", "SM" + "0" * 32], id="deliveries replay"),
        pytest.param(["explain", "--to", "+15005550006"], id="explain"),
        pytest.param(["simulate", "sms"], id="simulate"),
    ],
)
def test_without_a_router_one_sentence_says_what_to_do(tmp_path: Path, command: list[str]) -> None:
    """Without a router and a store, a command prints one sentence that names `router run`, with exit status 1."""
    result = invoke(*command, ROUTER_DATA_DIR=str(tmp_path))
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("router: ")
    assert "`router run`" in line


def test_an_unreachable_store_is_one_sentence(tmp_path: Path) -> None:
    """A store that does not answer is reported with one sentence and exit status 1."""
    gone = f"unix://{tmp_path}/valkey.sock"
    result = invoke("flows", "list", ROUTER_REDIS_URL=gone, TWILIO_ACCOUNT_SID=AC, TWILIO_AUTH_TOKEN=TOKEN)
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert "the store did not answer" in line
    assert "`router run`" in line


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["deliveries", "replay"], id="replay of nothing"),
        pytest.param(["deliveries", "replay", "--status", "unrouted"], id="replay of all times"),
        pytest.param(["deliveries", "show", "SM1"], id="an invalid SID"),
        pytest.param(["simulate", "telegram"], id="an unknown channel"),
        pytest.param(["simulate", "sms", "--sid", "SM" + "0" * 32, "--count", "2"], id="one SID for two"),
        pytest.param(["simulate", "sms", "--param", "Body"], id="a parameter without a value"),
        pytest.param(["flows", "apply", "absent.toml"], id="a file that is not there"),
    ],
)
def test_wrong_usage_is_exit_status_2(offline: Cli, command: list[str]) -> None:
    """Wrong usage has exit status 2."""
    result = offline(*command)
    assert result.exit_code == 2
    assert "Error: " in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["simulate"],
        ["record"],
        ["replay-traffic"],
        ["explain"],
        ["flows"],
        ["flows", "apply"],
        ["flows", "export"],
        ["deliveries"],
        ["deliveries", "replay"],
    ],
    ids=" ".join,
)
def test_help_shows_an_example(command: list[str]) -> None:
    """`--help` of each command shows an example line."""
    shown = invoke(*command, "--help").output
    assert f"\n    router {' '.join(command)} " in shown
    assert command[0] in COMMANDS


def test_every_command_that_lists_has_json() -> None:
    """Each command has --json, except those that serve, set up, or print a file."""

    def walk(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
        if not isinstance(command, click.Group):
            yield name.strip(), command
            return
        context = click.Context(command)
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            assert found is not None
            yield from walk(found, f"{name} {each}")

    silent = {name for name, command in walk(main, "") if not any("--json" in each.opts for each in command.params)}
    assert silent <= {
        "run",
        "record",
        "tunnel",
        "connect",
        "disconnect",
        "flows export",
        "flows web",
        "migrate hand-over",
        "reload",
    }


@pytest.mark.parametrize(
    ("twiml", "lines"),
    [
        pytest.param(b"<Response/>", [], id="empty"),
        pytest.param(
            b"<Response><Message><Body>Hi</Body><Media>https://a.example/x</Media></Message></Response>",
            ["Hi", "with https://a.example/x"],
            id="text and media",
        ),
        pytest.param(
            b"<Response><Redirect>/next</Redirect></Response>",
            ["the answer of /next, which Twilio calls next"],
            id="redirect",
        ),
        pytest.param(b"<Response><Pause/></Response>", ["<Pause>"], id="another verb"),
        pytest.param(b"<html/>", None, id="no TwiML"),
        pytest.param(b"Hello", None, id="no XML"),
        pytest.param(b'<!DOCTYPE r [<!ENTITY a "b">]><Response>&a;</Response>', None, id="entities"),
    ],
)
def test_twiml_is_shown_as_the_customer_gets_it(twiml: bytes, lines: list[str] | None) -> None:
    """TwiML is shown as the texts that Twilio would send, the verbs, or as not understood."""
    assert spoken(twiml) == lines


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.2, "now"), (59, "59 s"), (61, "1 min"), (7300, "2 h"), (90000, "1 d")]
)
def test_an_age_is_short(seconds: float, said: str) -> None:
    """An age is shown in one unit."""
    assert age(1_000_000, 1000 + seconds) == said
    assert ago(1_000_000, 1000 + seconds) == (said if said == "now" else f"{said} ago")


def test_control_characters_are_replaced_but_joiners_stay() -> None:
    """Control characters are replaced in output; joiners of emoji and letters stay."""
    family = "👩\u200d👧"
    assert clean(f"{family}\x07\r\n\tک\u200cم") == f"{family}\N{REPLACEMENT CHARACTER} ⏎  ک\u200cم"


def test_the_list_says_which_messages_a_flow_takes(offline: Cli) -> None:
    """`flows list` shows each flow's language and Match."""
    given = external("+15005550006", "https://a.example/x", match="'body == \"menu\"'", language='["es"]')
    assert "Done." in offline("flows", "apply", "-", given=given).output
    assert '(es)  if body == "menu"' in " ".join(offline("flows", "list").output.split("\n"))


# --- flows by the beginning of their SID ---


def test_a_flow_is_named_by_the_beginning_of_its_sid(offline: Cli) -> None:
    """Commands accept the beginning of a flow's SID, if it is that of exactly one flow."""
    one, two = "FO3f2a9c1b" + "0" * 24, "FO3f2a9c1c" + "0" * 24
    for sid, address in ((one, "+15005550006"), (two, "+15005550007")):
        given = external(address, "https://a.example/x", sid=f'"{sid}"')
        assert offline("flows", "apply", "-", given=given).exit_code == 0
    logged = json.loads(offline("flows", "log", one[:10], "--json").output)
    assert [each["flex_flow_sid"] for each in logged] == [one]
    assert offline("deliveries", "list", "--flow", one[:10]).exit_code == 0
    both = offline("flows", "log", one[:9])
    assert (both.exit_code, both.stderr) == (1, f"router: the SIDs of 2 flows begin with {one[:9]}: {one}, {two}\n")
    assert "no flow has a SID that begins with FO999999" in offline("deliveries", "list", "--flow", "FO999999").stderr
    assert offline("flows", "log", "FO12").exit_code == 2


def test_a_narrow_screen_shows_the_name_of_a_flow(offline: Cli, redis_url: str) -> None:
    """On 80 columns `flows list` shows a flow's short SID, name, address and target."""
    sid = "FO3f2a9c1b" + "0" * 24
    given = external("+15005550006", "https://support.example.com/inbound", sid=f'"{sid}"').replace(
        "To +15005550006", "Spanish support"
    )
    assert offline("flows", "apply", "-", given=given).exit_code == 0
    environ = clean_environ(
        ROUTER_REDIS_URL=redis_url, TWILIO_ACCOUNT_SID=AC, TWILIO_AUTH_TOKEN=TOKEN, COLUMNS="80", TERM="dumb"
    )
    screen, terminal = pty.openpty()
    ended = subprocess.run([ROUTER, "flows", "list"], env=environ, stdout=terminal, check=False, timeout=60)
    os.close(terminal)
    shown = os.read(screen, 10_000).decode()
    os.close(screen)
    assert ended.returncode == 0
    heading, line = shown.splitlines()
    assert max(len(heading), len(line)) <= 80
    assert line.startswith("FO3f2a9c1b  Spanish support  sms")
    assert "+15005550006  enabled  external https://" in line


# --- which address, and when ---


def test_simulate_without_to_refuses_several_addresses(offline: Cli) -> None:
    """`simulate` without --to is refused if the flows have several addresses, unless one flow takes every address."""
    one, other = (external(f"+1500555009{n}", "https://a.example/x") for n in (1, 2))
    offline("flows", "apply", "-", given=one + other)
    with Target() as webhook:
        asked = offline("simulate", "sms", "--url", webhook.url())
        assert asked.exit_code == 1
        assert "flows of the channel sms have several addresses" in asked.stderr
        assert "choose one with --to: +15005550091, +15005550092" in asked.stderr
        assert not webhook.requests
        offline("flows", "apply", "-", given=external("*", "https://a.example/x"))
        assert "→ +15005550006" in offline("simulate", "sms", "--url", webhook.url()).output


@pytest.mark.parametrize(
    ("when", "status", "said"),
    [("2026-12-21T10:00+00:00", 0, "“To +15005550006”"), ("2026-12-21T22:00+00:00", 1, "no flow: ")],
)
@pytest.mark.parametrize("command", [["explain", "--to", "+15005550006"], ["simulate", "sms", "--to", "+15005550006"]])
def test_at_shows_the_route_at_another_time(
    offline: Cli, command: list[str], when: str, status: int, said: str
) -> None:
    """`explain --at` and `simulate --at` show the route at another time, and send nothing."""
    match = '\'now.getHours("UTC") >= 9 && now.getHours("UTC") < 17\''
    offline("flows", "apply", "-", given=external("+15005550006", "https://a.example/x", match=match))
    result = offline(*command, "--at", when)
    assert (result.exit_code, said in result.output) == (status, True), result.output
    reported = json.loads(offline(*command, "--at", when, "--json").output)
    assert bool(reported["flex_flow_sid"]) == (status == 0)
    assert json.loads(offline("deliveries", "list", "--json").output) == []
    assert offline("simulate", "sms", "--at", when, "--count", "2").exit_code == 2
