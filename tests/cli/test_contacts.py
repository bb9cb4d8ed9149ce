"""`router contacts`: the REST resource of contacts on the command line."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from click.testing import Result

from router.message.raw import FORM, Raw
from router.store.lanes import new_token
from tests.e2e.commands import invoke
from tests.valkey import ValkeyServer
from tests.web.rest import ONE, TWO, Rest, rest_over

PHONE, USER_ID, OURS = "whatsapp:+34600111222", "whatsapp:ES.1349", "whatsapp:+15551230001"
Contacts = Callable[..., Result]


@pytest.fixture
def rest(valkey: ValkeyServer, tmp_path: Path) -> Iterator[Rest]:
    """The application over an empty store."""
    with rest_over(valkey, tmp_path) as made:
        yield made


@pytest.fixture
def contacts(rest: Rest, tmp_path: Path) -> Contacts:
    """Run a `router contacts` command over the application's store, by default for the first account."""

    def run(*args: str, account: str = ONE) -> Result:
        config = str(tmp_path / "router.toml")
        more = ("--account", account) if account else ()
        return invoke("contacts", *args, *more, ROUTER_CONFIG=config, ROUTER_REDIS_URL=rest.valkey.url)

    return run


def receive(rest: Rest, number: int, *, waits: bool = False) -> None:
    """Accept a message that is unrouted, or queued if `waits`."""
    body = f"AccountSid={ONE}&MessageSid=SM{number:032x}&From={quote(PHONE)}&To={quote(OURS)}&Body=Meinetwegen"
    rest.store.lanes.accept(
        token=new_token(),
        account_sid=ONE,
        message_sid=f"SM{number:032x}",
        lane="a" * 24,
        disposition="queue" if waits else "unrouted",
        lease=False,
        versions=(),
        facts={"raw": Raw("POST", FORM, body.encode()).pack(), "why": ""},
    )


def test_show_prints_what_set_changed(rest: Rest, contacts: Contacts) -> None:
    """`show` prints languages, aliases and conversations; its JSON is the REST resource's without the URL."""
    flow = rest.create(ChannelType="whatsapp", ContactIdentity=OURS, Language="es", FriendlyName="Apoyo")["sid"]
    done = contacts("set", "WhatsApp:34 600 111 222", "--language", "ca", "--alias", USER_ID, "--alias", "line:U1")
    assert done.exit_code == 0, done.output
    assert contacts("set", PHONE, "--preference", "es", "--to", OURS, "--flow", flow).exit_code == 0
    shown = contacts("show", USER_ID).output
    for words in (PHONE, "line:U1", USER_ID, "Preference", "“Apoyo”", "assigned in es, confidently"):
        assert words in shown
    resource = rest.call("GET", f"/v1/Contacts/{PHONE}").json
    del resource["url"]
    assert json.loads(contacts("show", PHONE, "--json").output) == resource
    assert json.loads(contacts("set", PHONE, "--language", "", "--json").output) == resource | {"language": None}
    rest.call("DELETE", f"/v1/FlexFlows/{flow}")
    assert "no longer assigned in es" in contacts("show", PHONE).output
    assert f"{flow}, which was removed" in contacts("show", PHONE).output


def test_conversations_are_closed(rest: Rest, contacts: Contacts) -> None:
    """`close --to` closes the conversation with one of our addresses, and `close` all of them."""
    for number, ours in enumerate((OURS, OURS + "2", OURS + "3")):
        flow = rest.create(number, ChannelType="whatsapp", ContactIdentity=ours)["sid"]
        contacts("set", PHONE, "--to", ours, "--flow", flow)
    assert f"With {OURS} " not in contacts("close", PHONE, "--to", OURS).output
    assert f"With {OURS}2 " in contacts("show", PHONE).output
    assert "With" not in contacts("close", PHONE).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", PHONE], f"no contact {PHONE}: the router keeps a contact after its first message"),
        (["close", PHONE], f"no contact {PHONE}"),
        (["set", PHONE, "--language", ""], f"no contact {PHONE}"),
        (["erase", PHONE, "--yes"], f"no contact {PHONE}"),
        (["erase", PHONE], "nothing was erased: the command cannot ask"),
        (["show", "whatsapp:"], "CONTACT: 'whatsapp:' is not a person's address such as +14155550100"),
        (["erase", "*", "--yes"], "CONTACT: '*' is not a person's address"),
        (["set", PHONE, "--preference", "xx-??"], "--preference: 'xx-??' is not a BCP 47 language tag"),
        (["set", PHONE, "--alias", "x" * 257], "--alias: at most 256 characters are allowed, not 257"),
        (
            ["set", PHONE, "--to", OURS, "--flow", "FO111111"],
            "no flow has a SID that begins with FO111111; `router flows",
        ),
        (["set", PHONE, "--to", OURS, "--flow", "FO" + "1" * 32], "--flow: there is no Flex Flow FO111"),
        (["close", PHONE, "--to", "MG" + "1" * 32], "--to: 'MG11"),
    ],
)
def test_an_error_is_one_line(rest: Rest, contacts: Contacts, words: list[str], said: str) -> None:
    """An error is one line on stderr with exit status 1, and nothing in the store has changed."""
    before = rest.written()
    result = contacts(*words)
    assert rest.written() == before
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"router: {said}")


@pytest.mark.parametrize(
    "words",
    [
        ["set", PHONE],
        ["set", PHONE, "--to", OURS],
        ["set", PHONE, "--flow", "FO"],
        ["show"],
        ["set", PHONE, "--to", OURS, "--flow", "FO1"],
    ],
)
def test_wrong_arguments_are_exit_status_2(contacts: Contacts, words: list[str]) -> None:
    """Missing or incomplete arguments are wrong usage: exit status 2."""
    assert contacts(*words).exit_code == 2


def test_a_contact_is_erased(rest: Rest, contacts: Contacts) -> None:
    """`erase` removes the contact and the bodies of its messages; a second `erase` fails."""
    contacts("set", PHONE, "--language", "es", "--alias", USER_ID)
    receive(rest, 1)
    result = contacts("erase", USER_ID, "--yes")
    assert (result.exit_code, result.stdout) == (0, f"Erased: the contact {USER_ID} with {PHONE} and 1 message.\n")
    assert rest.call("GET", f"/v1/Deliveries/SM{1:032x}").json["body"] is None
    assert contacts("erase", USER_ID, "--yes").exit_code == 1


def test_erase_with_a_waiting_message_keeps_the_contact(rest: Rest, contacts: Contacts) -> None:
    """While a message waits, `erase` erases the others, keeps the contact and fails with advice."""
    contacts("set", PHONE, "--language", "es")
    receive(rest, 1)
    receive(rest, 2, waits=True)
    result = contacts("erase", PHONE, "--yes", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"identities": [PHONE], "contact": False, "messages": 1, "waiting": 1}
    assert f"see them with `router deliveries list --from {PHONE}`, and erase it again later" in result.stderr
    assert contacts("show", PHONE).exit_code == 0


def test_with_several_accounts_the_account_must_be_named(rest: Rest, contacts: Contacts) -> None:
    """With several accounts --account is required, and a contact belongs to one account."""
    refused = contacts("show", PHONE, account="")
    assert refused.exit_code == 1
    assert "Name one with --account" in refused.stderr
    contacts("set", PHONE, "--language", "es")
    assert contacts("show", PHONE, account=TWO).exit_code == 1
    assert contacts("erase", PHONE, "--yes", account=TWO).exit_code == 1
    assert rest.call("GET", f"/v1/Contacts/{PHONE}").status == 200
