"""Lists of Flex Flows: paging, the filter by name, and what many flows cost."""

from collections.abc import Callable
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from router.flow.resource import from_parameters
from router.sid import new_sid
from router.store.changes import KEPT
from router.store.keys import AccountKeys
from tests.valkey import ValkeyServer
from tests.web.rest import BASE, ONE, TWO, Rest, flow_form, rest_over

FLOWS = "/v1/FlexFlows"


def test_paging_is_stable_while_flows_are_added_and_removed(rest: Rest) -> None:
    """Flows added or removed between two pages neither repeat nor hide another flow."""
    flows = [rest.create(number)["sid"] for number in range(1, 12)]
    pages = rest.pages(f"{FLOWS}?PageSize=3")
    seen = [each["sid"] for each in next(pages)["flex_flows"]]
    assert seen == flows[:-4:-1]
    rest.create(50)
    for gone in (seen[-1], flows[3]):  # the last one shown, and one on a later page
        rest.call("DELETE", f"{FLOWS}/{gone}")
    for page in pages:
        seen += [each["sid"] for each in page["flex_flows"]]
        rest.create(100 + len(seen))
    assert seen == [sid for sid in reversed(flows) if sid != flows[3]]


def test_a_page_is_bounded_in_bytes(rest: Rest) -> None:
    """A page of large flows ends at about one megabyte and links to the next."""
    twiml = f"<Response><Message>{'x' * 60_000}</Message></Response>"
    flows = [rest.create(number, FallbackTwiml=twiml)["sid"] for number in range(1, 41)]
    pages = list(rest.pages(f"{FLOWS}?PageSize=1000"))
    assert [each["sid"] for page in pages for each in page["flex_flows"]] == flows[::-1]
    assert all(len(str(page)) < 1_300_000 for page in pages)
    assert [len(page["flex_flows"]) for page in pages] == [18, 18, 4]


def test_previous_page_url_leads_back(rest: Rest) -> None:
    """`previous_page_url` leads back page by page to the first, and `meta` is Twilio's."""
    flows = [rest.create(number)["sid"] for number in range(1, 8)][::-1]
    pages = list(rest.pages(f"{FLOWS}?PageSize=3"))
    assert [len(page["flex_flows"]) for page in pages] == [3, 3, 1]
    assert pages[0]["meta"] == {
        "page": 0,
        "page_size": 3,
        "first_page_url": f"{BASE}{FLOWS}?PageSize=3&Page=0",
        "previous_page_url": None,
        "url": f"{BASE}{FLOWS}?PageSize=3&Page=0",
        "next_page_url": pages[0]["meta"]["next_page_url"],
        "key": "flex_flows",
    }
    assert pages[2]["meta"]["next_page_url"] is None
    back, link = [], pages[2]["meta"]["previous_page_url"]
    while link:
        page = rest.call("GET", link).json
        back.append([each["sid"] for each in page["flex_flows"]])
        again = rest.call("GET", page["meta"]["next_page_url"]).json["flex_flows"]
        assert again == pages[page["meta"]["page"] + 1]["flex_flows"]
        link = page["meta"]["previous_page_url"]
    assert back == [flows[3:6], flows[:3]]


def test_a_page_may_be_named_by_its_number(rest: Rest) -> None:
    """Without a token `Page` counts from the newest flow; a page past the end is 400."""
    flows = [rest.create(number, FriendlyName="same")["sid"] for number in range(1, 8)][::-1]
    for query in ("", "&FriendlyName=same"):
        page = rest.call("GET", f"{FLOWS}?PageSize=3&Page=1{query}").json
        assert [each["sid"] for each in page["flex_flows"]] == flows[3:6]
        assert rest.call("GET", f"{FLOWS}?PageSize=3&Page=3{query}").error == (
            400,
            20001,
            "Page: 3 is past the last page; follow next_page_url from the first one",
        )


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PageSize=0", 20001),
        ("PageSize=1001", 20007),
        ("PageSize=-1", 20001),
        ("PageSize=ten", 20001),
        ("PageSize=1e1", 20001),
        ("PageSize=٣", 20001),
        ("Page=-1", 20001),
        ("Page=99999999999999999999", 20001),
        ("Page=1", 20001),
    ],
)
def test_an_invalid_page_is_400(rest: Rest, query: str, code: int) -> None:
    """An invalid Page or PageSize is 400 and named in the message."""
    rest.create()
    status, found, message = rest.call("GET", f"{FLOWS}?{query}").error
    assert (status, found) == (400, code)
    assert message.startswith(query.partition("=")[0] + ": ")


def test_a_forged_page_token_is_refused(rest: Rest) -> None:
    """A page token is valid only for its own list, filter and account."""
    for user in (ONE, TWO):
        for number in range(3):
            rest.create(number, user=user, FriendlyName="same")
    url = rest.call("GET", f"{FLOWS}?PageSize=1").json["meta"]["next_page_url"]
    token = url.rpartition("PageToken=")[2]
    cursor, _, seal = token.partition(".")
    assert rest.call("GET", f"{FLOWS}?PageToken={token}").status == 200
    for forged in (
        "x",
        cursor,
        f"{cursor}.",
        f".{seal}",
        f"{cursor}1.{seal}",
        f"P{cursor[1:]}.{seal}",
        token[:-1],
        "%00.ü",
    ):
        assert rest.call("GET", f"{FLOWS}?PageToken={forged}").error[:2] == (400, 20001)
    assert rest.call("GET", f"{FLOWS}?PageToken={token}&FriendlyName=same").error[:2] == (400, 20001)
    assert rest.call("GET", f"{FLOWS}?PageToken={token}", user=TWO).error[:2] == (400, 20001)
    assert rest.call("GET", f"/v1/Configuration/Addresses?PageToken={token}").error[:2] == (400, 20001)


def test_flows_are_found_by_their_friendly_name(rest: Rest) -> None:
    """The FriendlyName filter is exact, also for names that share an index key, and follows changes."""
    one, two = _names_in_one_key()
    first, second, third = (
        rest.create(number, FriendlyName=name)["sid"] for number, name in enumerate((one, two, one))
    )

    def found(name: str) -> list[str]:
        return rest.listed(f"{FLOWS}?PageSize=1&FriendlyName={name}")

    assert (found(one), found(two), found(one.upper())) == ([third, first], [second], [])
    rest.call("POST", f"{FLOWS}/{first}", {"FriendlyName": two})
    assert (found(one), found(two)) == ([third], [second, first])
    rest.call("DELETE", f"{FLOWS}/{third}")
    assert (found(one), rest.listed(f"{FLOWS}?FriendlyName=")) == ([], [second, first])


def _names_in_one_key() -> tuple[str, str]:
    known: dict[str, str] = {}
    for number in count():
        name = f"name{number}"
        other = known.setdefault(sha256(name.encode()).hexdigest()[:4], name)
        if other != name:
            return other, name
    raise AssertionError


def test_many_flows_are_small_and_pages_of_them_cheap(
    spare_valkey: Callable[..., ValkeyServer], tmp_path: Path
) -> None:
    """Each of 10,500 flows takes at most 1 KB of store, without the bounded list of changes.

    A page reads few more records than it shows.
    """
    with rest_over(spare_valkey(appendonly="no"), tmp_path) as rest:
        _fill_and_look(rest, many=10_500)


def _fill_and_look(rest: Rest, many: int) -> None:
    client, stream = rest.store.changes._client, AccountKeys(ONE).changes

    def info(name: str) -> int:
        lines = client.call("INFO", "everything").decode().splitlines()
        return int(next(line for line in lines if line.startswith(f"{name}:")).partition(":")[2])

    before = info("used_memory")
    for start in range(0, many, 500):
        flows = [
            _made(n, IntegrationType="studio", **{"Integration.FlowSid": new_sid("FW")})
            for n in range(start, start + 500)
        ]
        rest.store.flows.put_all([(flow, None) for flow in flows])
    changes = client.call("MEMORY", "USAGE", stream, "SAMPLES", 0)
    assert (info("used_memory") - before - changes) / many <= 1000
    assert KEPT <= client.call("XLEN", stream) < KEPT + 200

    for query, most in (("PageSize=10", 30), ("PageSize=10&Page=1000", 30), ("FriendlyName=Flow%2077", 60)):
        hits = info("keyspace_hits")
        assert rest.call("GET", f"{FLOWS}?{query}").json["flex_flows"]
        assert info("keyspace_hits") - hits <= most


def _made(number: int, **more: str) -> Any:
    return from_parameters(
        flow_form(number) | more, account_sid=ONE, current=None, handlers=(), now=number, sid=new_sid("FO")
    )
