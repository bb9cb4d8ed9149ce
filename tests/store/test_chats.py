"""Web chats in the store: how they end, what is kept of them, and repeated answers."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from router.queries.erasure import erase
from router.store import Store, connect
from router.store.chat_record import PARTICIPANT, Chat, ChatMessage, Participant
from router.store.chat_write import Appended
from router.store.chats import digest
from router.store.client import Client
from router.store.keys import TURN, AccountKeys
from router.store.lanes import Acceptance, Written
from tests.integrations.sending import ACCOUNT_SID, settings

KEYS: Final = AccountKeys(ACCOUNT_SID)
HOUR: Final = 3_600_000
LANE: Final = "a" * 24


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    """An empty store."""
    made = connect(settings(ROUTER_REDIS_URL=redis_url, ROUTER_RETENTION_DAYS="1"))
    yield made
    made.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[Client]:
    """A connection of the test's own."""
    made = Client(redis_url)
    yield made
    made.close()


def begin_chat(store: Store, number: int = 1, **more: Any) -> Chat:
    """Begin a chat."""
    sid = f"CH{number:032x}"
    chat = Chat(
        ACCOUNT_SID, sid, "active", flow_sid="FO" + "1" * 32, address="web:shop", identity="ada",
        participant_sid="MB" + "1" * 32, created=1, updated=1,
    )  # fmt: skip
    chat = replace(chat, **more)
    assert store.chats.begin(chat) == ("begun", sid)
    return chat


def make_message(body: str, number: int = 0, side: str = "agent") -> ChatMessage:
    """Make a message."""
    return ChatMessage(f"IM{number:032x}", "agent", body, 1, side)


def state(store: Store, chat: Chat) -> tuple[str, str]:
    """Return a chat's state, and who closed it."""
    found = store.chats.get(ACCOUNT_SID, chat.sid)
    assert found is not None
    return found.state, found.closed_by


def upkeep(store: Store, client: Client) -> list[str]:
    """Run a round of upkeep now; return the closed chats whose end was not yet reported to their integration."""
    untold: list[str] = []
    client.call("DEL", TURN)
    for _ in store.upkeep.round(lambda _, sid: untold.append(sid)):
        pass
    return untold


def idle_since(client: Client, chat: Chat, milliseconds: int) -> None:
    """Set a chat's last activity to so many milliseconds ago."""
    at = int(time.time() * 1000) - milliseconds
    client.call("HSET", KEYS.own_chats + chat.sid, "updated", at)
    client.call("ZADD", KEYS.chats, at, chat.sid)


def test_the_janitor_closes_idle_chats(store: Store, client: Client) -> None:
    """The janitor closes a chat that was idle for longer than its limit; a chat without the janitor stays open."""
    watched, alone = begin_chat(store, 1, idle=HOUR), begin_chat(store, 2)
    busy, ended = begin_chat(store, 3, idle=HOUR), begin_chat(store, 4, idle=HOUR)
    store.chats.change(ended, {"state": "closed", "closed_by": "visitor"})
    for chat in (watched, alone, ended):
        idle_since(client, chat, 2 * HOUR)
    idle_since(client, busy, HOUR // 2)
    upkeep(store, client)
    assert [state(store, each) for each in (watched, alone, busy, ended)] == [
        ("closed", "janitor"),
        ("active", ""),
        ("active", ""),
        ("closed", "visitor"),
    ]
    assert 0 < client.call("PTTL", KEYS.own_chats + watched.sid) <= 24 * HOUR


def test_a_closed_chat_is_untold_until_it_is_reported(store: Store, client: Client) -> None:
    """Each round of upkeep returns the closed chats whose messages went to an integration, until they are reported."""
    chats = [begin_chat(store, number, idle=HOUR) for number in range(1, 4)]
    idle, ended, unheard = chats
    for chat in (idle, ended):
        client.call("HSET", KEYS.own_chats + chat.sid, "served", chat.flow_sid)
    for chat in chats:
        idle_since(client, chat, 2 * HOUR)
    for chat in (ended, unheard):
        store.chats.change(chat, {"state": "closed", "closed_by": "visitor"}, active=False)
    assert [sorted(upkeep(store, client)) for _ in range(2)] == [[idle.sid, ended.sid]] * 2
    found = store.chats.get(ACCOUNT_SID, idle.sid)
    assert found is not None
    assert (found.state, found.untold) == ("closed", "active")
    for chat in (idle, ended):
        store.chats.change(chat, {"untold": ""}, active=False)
    assert upkeep(store, client) == []


def test_many_idle_chats_are_closed_in_one_round(store: Store, client: Client) -> None:
    """One round of the janitor closes the idle chats of all pages, also where entries have the same score."""
    chats = [begin_chat(store, number, idle=HOUR) for number in range(1, 600)]
    for chat in chats:
        idle_since(client, chat, 2 * HOUR)
    upkeep(store, client)
    assert {state(store, each) for each in chats} == {("closed", "janitor")}


def test_nothing_is_left_of_an_expired_chat(store: Store, client: Client) -> None:
    """A chat expires with the retention after its last activity; upkeep then removes its index entries and its name."""
    chat = begin_chat(store, unique_name="case")
    store.chats.post(chat, make_message("Hello"))
    for key in (KEYS.own_chats, KEYS.chat_messages):
        assert 0 < client.call("PTTL", key + chat.sid) <= 24 * HOUR
        client.call("DEL", key + chat.sid)
    upkeep(store, client)
    left = [key for key in client.call("KEYS", "chat*") if not key.startswith(b"chat_keys")]
    assert left == [(KEYS.chat_identities + digest("ada")).encode()]
    assert client.call("PTTL", left[0]) > 0
    assert store.chats.of_identity(ACCOUNT_SID, "ada") == []


def test_a_long_lived_chat_is_kept_while_it_is_open(store: Store, client: Client) -> None:
    """A `LongLived` chat does not expire while it is open; once it is closed, it is kept for the retention."""
    chat = begin_chat(store, lasting=True)
    store.chats.post(chat, make_message("Hello"))
    assert client.call("PTTL", KEYS.chat_messages + chat.sid) == -1
    store.chats.change(chat, {"state": "closed", "closed_by": "agent"})
    assert client.call("PTTL", KEYS.own_chats + chat.sid) > 0
    assert client.call("PTTL", KEYS.chat_messages + chat.sid) > 0


def test_a_chat_keeps_its_last_thousand_messages(store: Store) -> None:
    """Beyond the limit the oldest messages are removed; the others keep their indexes."""
    chat = begin_chat(store)
    for number in range(1005):
        assert store.chats.post(chat, make_message(str(number), number)) == number
    look = store.chats.look(ACCOUNT_SID, chat.sid, "before", 10)
    assert look is not None
    assert (look.first, look.next) == (5, 1005)
    assert [(index, each.body) for index, each in look.messages] == [(n, str(n)) for n in range(5, 10)]


def test_erasing_a_visitor_erases_the_chats(store: Store, client: Client) -> None:
    """Erasing a visitor leaves nothing of that person in the store, and keeps the chats of others."""
    chat, other = begin_chat(store, 1, unique_name="case"), begin_chat(store, 2, identity="carol")
    store.chats.post(chat, make_message("a secret"))
    found = erase("web:ada", ACCOUNT_SID, store)
    assert found.found
    assert store.chats.get(ACCOUNT_SID, chat.sid) is None
    assert store.chats.get(ACCOUNT_SID, other.sid) is not None
    assert store.chats.named(ACCOUNT_SID, "case") is None
    dumped = [client.call("DUMP", key) or b"" for key in client.call("KEYS", "*")]
    assert not any(b"secret" in each or b"ada" in each for each in dumped)


def test_an_answer_is_appended_once(store: Store, client: Client) -> None:
    """A repeated answer, as after a lost reply, is not appended again; a closed or erased chat gets none."""
    chat = begin_chat(store)
    record = f"{KEYS.messages}{ACCOUNT_SID}:IM{'a' * 32}"
    client.call("HSET", record, "raw", "x")
    answers = [make_message("one", 1), make_message("two", 2)]
    assert store.chats.answer(chat, f"IM{'a' * 32}", answers) == 2
    assert store.chats.answer(chat, f"IM{'a' * 32}", answers) == -1
    look = store.chats.look(ACCOUNT_SID, chat.sid, "last")
    assert look is not None
    assert [each.body for _, each in look.messages] == ["one", "two"]
    client.call("HSET", f"{record[:-1]}b", "raw", "x")
    store.chats.change(chat, {"state": "closed"})
    assert store.chats.answer(chat, f"IM{'a' * 31}b", answers) == -2
    assert store.chats.answer(chat, f"IM{'a' * 31}c", answers) == -2


def test_a_unique_name_belongs_to_one_open_chat(store: Store) -> None:
    """A unique name is refused while an open chat has it, and is free again once that chat is closed."""
    first = begin_chat(store, 1, unique_name="case")
    second = replace(first, sid="CH" + "2" * 32)
    assert store.chats.begin(second) == ("taken", first.sid)
    third = begin_chat(store, 3)
    assert store.chats.change(third, {"unique_name": "case"}) == "taken"
    store.chats.change(first, {"state": "closed"})
    assert store.chats.begin(second) == ("begun", second.sid)


def take(store: Store, chat: Chat, index: int, token: str, epoch: str = "0") -> Acceptance:
    """Accept a visitor's message into its lane and its chat."""
    appended = Appended(chat.sid, index, epoch, make_message("Hello", 7, "visitor").write(), 1000)
    return store.lanes.accept(
        token=token, account_sid=ACCOUNT_SID, message_sid=f"IM{7:032x}", lane=LANE, disposition="queue", lease=False,
        versions=(), facts={"raw": "x", "why": "", "index": index}, appended=appended,
    )  # fmt: skip


def test_chat_and_lane_take_a_message_in_one_step(store: Store, client: Client) -> None:
    """A message is written to lane and chat or to neither: not with a taken index, nor to a revoked or ended chat."""
    chat = begin_chat(store)
    assert (take(store, chat, 3, "a").refusal, take(store, chat, 3, "a").index) == ("moved", 0)
    assert take(store, chat, 0, "a", epoch="1").refusal == "revoked"
    assert take(store, replace(chat, sid="CH" + "9" * 32), 0, "a").refusal == "gone"
    assert client.call("LLEN", KEYS.lanes + LANE) == 0
    assert take(store, chat, 0, "a").kind == "accepted"
    assert take(store, chat, 0, "a").kind == "accepted"  # the same call again: its reply was lost
    assert take(store, chat, 1, "b").kind == "duplicate"
    assert client.call("LLEN", KEYS.lanes + LANE) == client.call("LLEN", KEYS.chat_messages + chat.sid) == 1
    store.chats.change(chat, {"state": "closed"})
    client.call("DEL", f"{KEYS.messages}{ACCOUNT_SID}:IM{7:032x}")
    assert take(store, chat, 1, "c").refusal == "closed"


def test_a_message_in_doubt_keeps_its_place(store: Store) -> None:
    """A message that is sent again because no replica confirmed it is in the chat once, with its first index."""
    store.lanes.confirms = True
    chat = begin_chat(store)
    assert take(store, chat, 0, "a").kind == "accepted"
    written = Written("a", ACCOUNT_SID, f"IM{7:032x}", LANE)
    assert store.lanes.doubt(written, "no replica confirmed it") == "doubt"
    store.chats.post(chat, make_message("meanwhile"))
    again = take(store, chat, 2, "b")
    assert (again.refusal, again.index) == ("moved", 0)
    assert take(store, chat, 0, "b").kind == "accepted"
    look = store.chats.look(ACCOUNT_SID, chat.sid, "last")
    assert look is not None
    assert [each.body for _, each in look.messages] == ["Hello", "meanwhile"]


def test_a_record_of_a_newer_version_is_read(store: Store, client: Client) -> None:
    """A chat written by a newer version can be read: unknown fields of it and of participants are left out."""
    chat, sid = begin_chat(store), "MB" + "2" * 32
    newer = json.dumps({"sid": sid, "identity": "bob", "mood": "good"})
    client.call("HSET", KEYS.own_chats + chat.sid, f"{PARTICIPANT}{sid}", newer, "mood", "good")
    found = store.chats.get(ACCOUNT_SID, chat.sid)
    assert found is not None
    assert (found.identity, found.participants) == ("ada", (Participant(sid, "bob"),))


def test_a_removed_message_does_not_shift_the_others(store: Store) -> None:
    """The other messages keep their indexes; pages are read in both directions past removed messages."""
    chat = begin_chat(store)
    for number in range(8):
        store.chats.post(chat, make_message(str(number), number))
    assert store.chats.edit(chat, 1, f"IM{1:032x}", make_message("one", 1))
    assert not store.chats.edit(chat, 2, f"IM{1:032x}", None)
    for number in (3, 4, 5, 7):
        assert store.chats.edit(chat, number, f"IM{number:032x}", None)
    assert not store.chats.edit(chat, 3, f"IM{3:032x}", make_message("again", 3))

    def read(which: Any, index: int = 0, most: int = 20) -> tuple[list[tuple[int, str]], int, int]:
        look = store.chats.look(ACCOUNT_SID, chat.sid, which, index, most)
        assert look is not None
        return [(index, message.body) for index, message in look.messages], look.start, look.end

    assert read("after", -1) == ([(0, "0"), (1, "one"), (2, "2"), (6, "6")], 0, 8)
    assert read("after", 2, 2) == ([], 3, 5)
    assert read("last", most=1) == ([(6, "6")], 6, 7)
    assert read("before", 6, 2) == ([(2, "2")], 2, 4)
    assert store.chats.post(chat, make_message("8", 8)) == 8


def test_the_chats_of_an_identity_are_found_as_long_as_they_are_kept(store: Store, client: Client) -> None:
    """Upkeep keeps the lists of a visitor's and an agent's chats, and removes expired chats from them."""
    first, second = begin_chat(store, 1, created=1), begin_chat(store, 2, created=2)
    for chat, number in ((first, 1), (second, 2)):
        store.chats.put_participant(chat, Participant(f"MB{number:032x}", "agent"))
    assert [each.sid for each in store.chats.of_identity(ACCOUNT_SID, "agent")] == [second.sid, first.sid]
    assert [each.sid for each in store.chats.of_identity(ACCOUNT_SID, "agent", 1, 1)] == [first.sid]
    lists = [KEYS.chat_identities + digest(each) for each in ("ada", "agent")]
    for each in lists:
        client.call("PEXPIRE", each, HOUR)
    upkeep(store, client)
    assert all(client.call("PTTL", each) > 23 * HOUR for each in lists)
    assert len(store.chats.of_identity(ACCOUNT_SID, "agent")) == 2
    store.chats.erase(first)
    store.chats.put_participant(begin_chat(store, 3), Participant(f"MB{3:032x}", "agent"))
    assert client.call("ZCARD", lists[1]) == 2
