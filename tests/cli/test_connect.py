"""`router connect` points a webhook at the router, and `router disconnect` restores it."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.cli.connect.connector import Connector
from router.errors import RouterError
from router.settings import load
from router.tunnel_address import TunnelRecord
from router.twilio_api.connections import NAME, Holder
from tests.cli.local_router import LocalRouter, serving
from tests.e2e.local_setup import FIRST, NUMBER, OLD, SMS, LocalSetup, local_setup
from tests.e2e.service import ACCOUNT, TOKEN
from tests.integrations.target import Target, answer
from tests.valkey import ValkeyServer

OTHER, SERVICE = "+15550000009", "MG" + "1" * 32


@pytest.fixture(scope="module")
def _router(_session_valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRouter]:
    with serving(tmp_path_factory.mktemp("router"), _session_valkey.url) as router:
        yield router


@pytest.fixture
def local(_router: LocalRouter, tmp_path: Path) -> Iterator[LocalSetup]:
    """A setup with nothing connected and its own data directory."""
    with local_setup(_router.config, _router.port, tmp_path) as local:
        yield local


# -- there and back ---------------------------------------------------------------------------------------------------


def test_a_number_is_connected_and_restored(local: LocalSetup) -> None:
    """`disconnect` restores a number's URL, fallback, methods and application; the record of them has mode 0600."""
    connected = local.run("connect", NUMBER, "--detach")
    assert (connected.exit_code, local.webhook) == (0, local.webhook_here), connected.output
    for value in FIRST:
        assert value in connected.output
    assert stat.S_IMODE((local.folder / NAME).stat().st_mode) == 0o600

    listed = json.loads(local.run("disconnect", "--list", "--json").output)
    assert [(each["name"], each["until"], each["before"]["sms_url"]) for each in listed] == [
        (NUMBER, "disconnected", OLD)
    ]
    assert local.run("disconnect", "--list").output.split()[-1] == OLD
    back = local.run("disconnect")
    assert (back.exit_code, local.webhook, local.connections) == (0, FIRST, []), back.output
    assert f"{NUMBER} is restored: sms_url {OLD}" in back.output
    assert "Nothing is connected" in local.run("disconnect").output


def test_a_dry_run_changes_nothing(local: LocalSetup) -> None:
    """`connect --dry-run` shows the new URL and changes neither Twilio nor the disk."""
    shown = local.run("connect", NUMBER, "--dry-run")
    assert shown.exit_code == 0
    assert local.webhook_here[0] in shown.output
    assert (local.webhook, local.twilio.updates, list(local.folder.iterdir())) == (FIRST, [], [])


def test_a_messaging_service_is_connected_and_restored(local: LocalSetup) -> None:
    """`connect` points a Messaging Service and its numbers at /webhooks/message; `disconnect` restores it."""
    service = local.twilio.service(SERVICE, None, NUMBER)
    before = dict(service)
    assert local.run("connect", "--messaging-service", SERVICE, "--detach").exit_code == 0
    assert service["inbound_request_url"].startswith(f"{local.base}/webhooks/message#")
    assert (service["fallback_url"], service["use_inbound_webhook_on_number"]) == (
        f"{local.base}/webhooks/message",
        False,
    )
    assert local.run("disconnect", SERVICE).exit_code == 0
    assert service == before


def test_a_whatsapp_sender_is_connected_and_restored(local: LocalSetup) -> None:
    """`connect` and `disconnect` send Twilio only the webhook fields of a WhatsApp sender that they change."""
    sender = local.twilio.sender(NUMBER, "https://old.example.com/", fallback_url="https://old.example.com/fb")
    before = dict(sender, webhook=dict(sender["webhook"]))
    assert local.run("connect", NUMBER, "--whatsapp", "--detach").exit_code == 0
    assert sender["webhook"]["callback_url"] == f"{local.base}/webhooks/whatsapp"
    assert sender["webhook"]["status_callback_url"] == "https://example.com/status"
    assert local.run("disconnect", f"whatsapp:{NUMBER}").exit_code == 0
    assert sender == before
    fields = {"callback_url", "callback_method", "fallback_url", "fallback_method"}
    assert all(
        update.keys() == {"webhook"} and update["webhook"].keys() <= fields for _, update in local.twilio.updates
    )


def test_after_connecting_twice_the_first_values_are_restored(local: LocalSetup) -> None:
    """After a second `connect`, `disconnect` restores the values from before the first."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    assert local.run("disconnect").exit_code == 0
    assert local.webhook == FIRST


def test_a_password_in_a_webhook_is_restored_and_never_shown(local: LocalSetup) -> None:
    """A password in a webhook's URL is restored, and no command shows it."""
    old = "https://somebody:a-password@old.example.com/x"
    local.number["sms_url"] = old
    for words in (["connect", NUMBER, "--detach"], ["disconnect", "--list", "--json"], ["disconnect", "--list"]):
        ended = local.run(*words)
        assert ended.exit_code == 0
        assert "a-password" not in ended.output
        assert "https://…@old.example.com/x" in ended.output
    back = local.run("disconnect")
    assert "a-password" not in back.output
    assert local.number["sms_url"] == old


# -- changes by another person ----------------------------------------------------------------------------------------

NEW, NEW_AP = "https://new.example.com/", "AP" + "2" * 32


@pytest.mark.parametrize(
    ("changed", "then"),
    [
        pytest.param({"sms_url": NEW}, (NEW, "POST", FIRST[2], "POST", ""), id="the URL"),
        pytest.param({"sms_fallback_url": NEW}, (OLD, "GET", NEW, "POST", FIRST[4]), id="the fallback"),
        pytest.param({"sms_application_sid": NEW_AP}, (OLD, "GET", FIRST[2], "POST", NEW_AP), id="the application"),
        pytest.param({"sms_method": "GET"}, FIRST, id="the method, to what it was"),
        pytest.param(dict(zip(SMS, FIRST, strict=True)), FIRST, id="all, as after a crash before the change"),
        pytest.param({"sms_url": OLD, "sms_method": "GET"}, (*FIRST[:4], ""), id="the URL, to what it was"),
    ],
)
def test_a_field_that_another_person_changed_is_not_restored(
    local: LocalSetup, changed: dict[str, str], then: tuple[str, ...]
) -> None:
    """`disconnect` restores each field that has our value; what another person changed stays and is reported."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    local.number.update(changed)
    back = local.run("disconnect")
    assert (back.exit_code, local.webhook, local.connections) == (0, then, [])
    for value in set(changed.values()) & {NEW, NEW_AP}:
        assert f"{value}" in back.output.partition("; not restored: ")[2]


def test_a_number_that_left_the_account_is_removed_from_the_record(local: LocalSetup) -> None:
    """`disconnect` of a number that left the account succeeds, and the number is no longer recorded."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    local.twilio.numbers.clear()
    back = local.run("disconnect")
    assert (back.exit_code, local.connections) == (0, [])
    assert "no longer belongs to this account" in back.output


def test_a_number_of_another_router_is_connected_only_with_yes(local: LocalSetup) -> None:
    """`connect` refuses a number that points to another router without --yes; `disconnect` restores that URL."""
    theirs = "https://other-router.example.com/webhooks/sms#rc=2"
    local.number.update(sms_url=theirs, sms_application_sid="")
    refused = local.run("connect", NUMBER, "--detach")
    assert (refused.exit_code, local.number["sms_url"], local.twilio.updates) == (1, theirs, [])
    assert "points to another router, https://other-router.example.com/webhooks/sms" in refused.output
    assert "points to another router" in local.run("connect", NUMBER, "--dry-run").output
    assert local.run("connect", NUMBER, "--detach", "--yes").exit_code == 0
    assert local.run("disconnect").exit_code == 0
    assert local.number["sms_url"] == theirs


def test_a_number_changed_since_it_was_connected_needs_yes(local: LocalSetup) -> None:
    """`connect` of a number changed since needs --yes; `disconnect` then restores the other person's value."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    local.number["sms_url"] = NEW
    refused = local.run("connect", NUMBER, "--detach")
    assert (refused.exit_code, local.number["sms_url"]) == (1, NEW)
    assert "then changed by another person or program" in refused.output
    assert local.run("connect", NUMBER, "--detach", "--yes").exit_code == 0
    assert local.run("disconnect").exit_code == 0
    assert local.number["sms_url"] == NEW


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        pytest.param([OTHER], {}, f"{OTHER} is not a number of {ACCOUNT}; it has {NUMBER}", id="number not owned"),
        pytest.param([OTHER, "--whatsapp"], {}, "is not a WhatsApp sender of", id="sender not owned"),
        pytest.param(
            ["--messaging-service", SERVICE], {}, f"{SERVICE} is not a Messaging Service", id="no such service"
        ),
        pytest.param(
            [NUMBER],
            {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "f" * 32},
            "refused a signed request",
            id="another token than the router's",
        ),
        pytest.param(
            [NUMBER, "--no-check"],
            {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "f" * 32},
            "Twilio refuses the credentials",
            id="wrong credentials",
        ),
        pytest.param([NUMBER], {"ROUTER_TWILIO_API_URL": "http://127.0.0.1:9"}, "cannot be reached", id="no network"),
        pytest.param(
            [NUMBER], {"ROUTER_PUBLIC_URL": "http://127.0.0.1:9"}, "nothing listens", id="a dead public address"
        ),
        pytest.param([NUMBER], {"ROUTER_PUBLIC_URL": ""}, "open a tunnel with `router tunnel`", id="no public address"),
        pytest.param(
            [NUMBER], {"ROUTER_DATA_DIR": "/proc"}, "cannot be saved in /proc", id="a disk that cannot be written"
        ),
    ],
)
def test_a_connect_that_fails_prints_one_sentence(
    local: LocalSetup, words: list[str], environ: dict[str, str], says: str
) -> None:
    """A `connect` that fails ends with one sentence and exit status 1, and changes nothing at Twilio."""
    if environ.get("ROUTER_PUBLIC_URL") == "":
        config = local.folder / "router.toml"
        text = Path(local.environ["ROUTER_CONFIG"]).read_text()
        config.write_text("\n".join(line for line in text.splitlines() if not line.startswith("public_url")))
        environ = environ | {"ROUTER_CONFIG": str(config)}
    ended = local.run("connect", *words, "--detach", **environ)
    assert (ended.exit_code, local.webhook) == (1, FIRST)
    assert not local.twilio.updates
    last = ended.output.splitlines()[-1]
    assert last.startswith("router: ")
    assert says in last
    assert "f" * 32 not in ended.output


@pytest.mark.parametrize("words", [[], ["12"], ["+1555x"], ["--messaging-service", NUMBER], [ACCOUNT]])
def test_an_invalid_number_is_refused_before_twilio_is_asked(local: LocalSetup, words: list[str]) -> None:
    """`connect` with something that is not a number is wrong usage: exit status 2 without a request to Twilio."""
    ended = local.run("connect", *words)
    assert (ended.exit_code, local.twilio.requests) == (2, [])


@pytest.mark.parametrize(
    ("status", "page", "says"),
    [
        (b"200 OK", b"<html>ERR_NGROK_6024</html>", "ngrok's browser warning answered instead of the router"),
        (b"530 Origin", b"error code: 1033", "the tunnel is gone: no cloudflared serves this address (error 1033)"),
        (b"200 OK", b"<html>Welcome</html>", "a program other than this router answers"),
    ],
)
def test_a_page_of_another_program_at_the_public_url_is_reported(
    local: LocalSetup, status: bytes, page: bytes, says: str
) -> None:
    """If another program answers at the public URL, `connect` says which, and changes nothing."""
    head = b"HTTP/1.1 %s\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % (status, len(page))
    with Target() as target:
        target.script["/webhooks/message"] = lambda caller: bool(caller.send(head + page)) and False
        ended = local.run("connect", NUMBER, "--detach", ROUTER_PUBLIC_URL=target.url("").rstrip("/"))
    assert (ended.exit_code, local.webhook) == (1, FIRST)
    assert says in ended.output


def test_a_change_between_the_question_and_the_write_is_not_overwritten(local: LocalSetup) -> None:
    """A webhook that changed after it was shown is not overwritten: connecting raises an error."""
    settings = load(local.environ)
    connector, account = Connector(settings), settings.accounts[0]
    places = connector.find(account, [("number", NUMBER)])
    local.number["sms_url"] = NEW
    with pytest.raises(RouterError, match="another person or program has just changed"):
        connector.connect_all(places, account, local.base, tunnel=False, holder="")
    assert (local.number["sms_url"], local.twilio.updates) == (NEW, [])


def test_the_previous_values_are_on_disk_before_twilio_is_changed(local: LocalSetup) -> None:
    """The previous values are on disk before Twilio gets the new ones."""
    seen: list[str] = []
    local.twilio.before_update = lambda: seen.extend(each["before"]["sms_url"] for each in local.connections)
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    assert seen == [OLD]


def test_a_number_whose_messaging_service_has_a_webhook_is_refused(local: LocalSetup) -> None:
    """`connect` refuses a number if its Messaging Service's webhook wins, and says how to connect both."""
    local.twilio.service(SERVICE, "https://service.example.com/", NUMBER)
    refused = local.run("connect", NUMBER, "--detach")
    assert (refused.exit_code, local.webhook) == (1, FIRST)
    assert f"--messaging-service {SERVICE}" in refused.output
    assert local.run("connect", NUMBER, "--messaging-service", SERVICE, "--detach").exit_code == 0
    assert local.run("disconnect").exit_code == 0
    assert (local.webhook, local.twilio.services[0]["inbound_request_url"]) == (FIRST, "https://service.example.com/")


def test_a_change_that_twilio_refuses_leaves_all_as_it_was(local: LocalSetup) -> None:
    """If Twilio refuses one of two changes, neither is made, and nothing is recorded."""
    service = local.twilio.service(SERVICE, "https://service.example.com/")
    local.twilio.updates_answered = 500
    ended = local.run("connect", NUMBER, "--messaging-service", SERVICE, "--detach")
    assert (ended.exit_code, local.webhook, local.connections) == (1, FIRST, [])
    assert f"{NUMBER} was not changed: Twilio's REST API answered 500" in ended.output
    assert service["inbound_request_url"] == "https://service.example.com/"


def test_a_change_whose_answer_is_lost_counts_as_made(local: LocalSetup) -> None:
    """A change that Twilio made though its answer was lost counts as made, and `disconnect` reverses it."""
    local.twilio.updates_answered = 0
    connected = local.run("connect", NUMBER, "--detach")
    assert (connected.exit_code, local.webhook) == (0, local.webhook_here), connected.output
    local.twilio.updates_answered = 200
    assert local.run("disconnect").exit_code == 0
    assert local.webhook == FIRST


def test_a_number_that_could_not_be_restored_stays_recorded(local: LocalSetup) -> None:
    """A `disconnect` that cannot reach Twilio fails, and a second one restores the number."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    failed = local.run("disconnect", ROUTER_TWILIO_API_URL="http://127.0.0.1:9")
    assert (failed.exit_code, local.webhook) == (1, local.webhook_here)
    assert f"{NUMBER} could not be restored: " in failed.output
    assert local.run("disconnect").exit_code == 0
    assert local.webhook == FIRST


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, b"<h1>No such page</h1>"),
        (404, b"[]"),
        (404, b'{"message": "no route"}'),
        (200, b"{}"),
        (200, b"[" * 99_999),
    ],
    ids=["a page", "JSON", "an error", "an empty record", "deep JSON"],
)
def test_a_proxys_answer_does_not_remove_a_number_from_the_record(local: LocalSetup, status: int, body: bytes) -> None:
    """An answer that is not Twilio's, as a proxy's 404, does not remove a number from the record."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    with Target() as proxy:
        proxy.script[f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers/PN{0:032x}.json"] = answer(
            status, body, Content_Type="application/json"
        )
        failed = local.run("disconnect", ROUTER_TWILIO_API_URL=proxy.url("").rstrip("/"))
    assert (failed.exit_code, local.webhook) == (1, local.webhook_here)
    assert f"{NUMBER} could not be restored: " in failed.output
    assert local.run("disconnect").exit_code == 0
    assert local.webhook == FIRST


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"[]", b'{"connections": [{}]}', b'{"connections": [{"kind": "x"}]}', b"\xff"]
)
def test_a_damaged_record_is_renamed_and_kept(local: LocalSetup, damage: bytes) -> None:
    """With a damaged record `connect` changes nothing and keeps the file; the next `connect` starts an empty one."""
    (local.folder / NAME).write_bytes(damage)
    ended = local.run("connect", NUMBER, "--detach")
    assert (ended.exit_code, local.webhook, local.twilio.updates) == (1, FIRST, [])
    (aside,) = local.folder.glob("connections.damaged-*.json")
    assert aside.read_bytes() == damage
    assert f"is damaged, so nothing was changed at Twilio; it is kept as {aside.name}" in ended.output
    assert local.run("connect", NUMBER, "--detach").exit_code == 0


def test_a_number_of_a_crashed_tunnel_is_restored_by_left_behind(local: LocalSetup) -> None:
    """`disconnect --left-behind` restores numbers whose tunnel is gone, and no others."""
    with TunnelRecord(local.folder) as record, Holder(local.folder):
        record.publish(local.base)
        assert local.run("connect", NUMBER, "--detach").exit_code == 0
        assert local.connections[0]["tunnel"] is True
        assert local.run("disconnect", "--left-behind").exit_code == 0
        assert local.webhook == local.webhook_here
    assert local.run("disconnect", "--left-behind").exit_code == 0
    assert local.webhook == FIRST


def test_the_demos_account_cannot_be_connected(local: LocalSetup) -> None:
    """`connect` refuses the demo's account without a request to Twilio, and says what to set."""
    (local.folder / "demo.toml").write_text(f'[[account]]\nsid = "{ACCOUNT}"\nauth_tokens = ["{TOKEN}"]\n')
    ended = local.run("connect", NUMBER, "--detach")
    assert (ended.exit_code, local.twilio.requests) == (1, [])
    assert "which Twilio does not know: set TWILIO_ACCOUNT_SID" in ended.output


def test_disconnecting_an_unknown_number_lists_the_connected_ones(local: LocalSetup) -> None:
    """`disconnect` of a number that is not connected fails, lists the connected ones, and restores nothing."""
    assert local.run("connect", NUMBER, "--detach").exit_code == 0
    ended = local.run("disconnect", OTHER)
    assert (ended.exit_code, local.webhook) == (1, local.webhook_here)
    assert f"not connected: {OTHER}; connected: {NUMBER}" in ended.output
