"""Names of keys. All keys of an account have the hash tag of its bucket, so that one script can access all of them.

There are 256 buckets, derived from the AccountSid, so that accounts spread over the slots of a Cluster: 83 to 89 of
them on each of three nodes. What belongs to the router itself has the tag `{0}`, which is no bucket's: it is little,
and its scripts need it in one slot. Keys contain no phone numbers, except those of address entries, which the operator
set; external input in a key never has a brace.

Every key has an owner, a purpose and an expiry. `{b}` is a bucket, AC an AccountSid. An account's keys are also removed
with the account: when routers have run without it for 30 days (by upkeep.py, like the entries marked with *).

    key                   | whose   | what for, and its end
    message:{b}:AC:SM     | account | A message, what became of it, and that a second one is a duplicate.
                          |         | ROUTER_DELIVERED_HOURS (delivered, redirected) or ROUTER_RETENTION_DAYS after it
                          |         | is done, which its ValidityPeriod sees to; in a paused flow, when the flow goes
                          |         | on; held, when it is released
    taken:{b}:AC:<digits> | account | That a message was taken, for longer than its record, so that a recorded request
                          |         | cannot be sent again. After 30 to 60 days
    guard:{b}             | bucket  | Keeps scripts from running while the slot is moved in a Cluster. Never written
    lane:{b}:<lane>       | account | The order of a conversation's messages. The last of them is done
    leases:{b}            | bucket  | Lanes whose head is being sent. A member: settled, or after ROUTER_LEASE_SECONDS
    due:{b}:AC:FO         | account | Lanes that wait for a flow, by time. A member: claimed
    due:{b}               | bucket  | When the first of each of those sets comes due. A member: with its set
    clock:{b}             | bucket  | The time by which messages wait and are leased. After 30 days without a router
    resumed:{b}:AC:FO     | account | When a flow's pause ended, which makes no message older. After two weeks
    queued:{b}            | bucket  | Each account's number of messages not done. A field: with its account *
    held:{b}:AC           | account | Held messages, since when. A member: released or cancelled
    log:{b}:AC            | account | Messages by time, for lists. A member: after its message *
    dead:{b}:AC           | account | Undelivered and unrouted ones. A member: replayed, erased, or after its message *
    flow:{b}:AC:FO        | account | A Flex Flow. It is removed
    flows:{b}:AC          | account | Flows in their order, for lists. A member: with its flow
    named:{b}:AC:<name>   | account | Flows by FriendlyName, for lists. A member: with its flow
    address:{b}:AC:<ours> | account | The flows of an address, and their version. The last of them is removed
    changes:{b}:AC        | account | Who changed which flow. An entry: after some 10,000 newer ones
    contact:{b}:AC:<id>   | account | A contact's language and conversations, or of whom this address is an alias.
                          |         | ROUTER_STICKY_HOURS or ROUTER_RETENTION_DAYS, the longer, after the last message;
                          |         | with a language, an alias or a LongLived flow: it is erased. A conversation: also
                          |         | after 100 newer ones
    binding:{b}:AC:<lane> | account | The task or Conversation that a conversation has at Twilio. 30 days after its
                          |         | last message, or its sender is erased
    chat:{b}:AC:CH        | account | A web chat. ROUTER_RETENTION_DAYS after its last activity; of a LongLived flow
                          |         | without janitor: that long after it is closed. Or it is erased
    chat_messages:{b}:AC:CH | account | Its messages, for its visitor. With the chat; one: after 1,000 newer ones
    chats:{b}:AC          | account | Chats by their last activity, for lists. A member: after its chat *
    chat_names:{b}:AC     | account | Chats by unique name. A field: erased, or replaced, or after its chat *
    chat_visitor:{b}:AC:<id> | account | The chat that a browser, or a signed identity, goes on with. As the chat
    chat_identity:{b}:AC:<id> | account | The chats of an identity, as visitor or participant. As the last of them; one:
                          |         | after its chat, with the next ones of the identity
    chat_mirrored:{b}:AC:CH | account | Its messages that came from Twilio. ROUTER_RETENTION_DAYS after the last one
    chat_limit:{b}:AC:<what> | account | What visitors did lately, to limit it. After an hour at most
    migration:{b}:AC:FO   | account | How the migration of a flow goes. 90 days after its last message
    proxied:{b}:AC        | account | Contacts in a live session of Proxy, of `router.store.proxied`. After two minutes
    proxied_wanted:{b}    | bucket  | Accounts whose sessions of Proxy are listed. A field: after an hour without a
                          |         | message of a contact that may move
    proxying:{b}:AC:<l>   | account | By lane and by flow: that a message went to Proxy a short time ago. After 300 s
    proxy_turn:{0}        | router  | Which process lists the sessions of Proxy. After 60 s without it
    languages:{b}         | bucket  | Languages that flows name, for detection. The bucket's last account *; there are
                          |         | 18,252 codes at most, of two or three letters
    accounts:{b}          | bucket  | How long routers have run without an account. A field: with its account *
    alive:{b}             | bucket  | When a router last served each account. A field: with its account *
    gaps:{b}              | bucket  | When messages may have been missed. A field: looked into, or with its account *
    recovering:{b}:AC     | account | Whose turn it is to look for missed messages. After 120 s
    looked:{b}:AC         | account | That refused signatures have caused a look. After ten minutes
    seen:{b}:AC           | account | Addresses that messages came to. A member: 30 days after the last one
    recovered:{b}:AC      | account | What looks found. An entry: after 20 newer ones; all: after ROUTER_RETENTION_DAYS
    refused:{b}:AC        | account | Refused requests, for the doctor; AC:unknown has those that name no account, under
                          |         | the first of the settings. An entry: after 16 newer ones, or when the first comes
                          |         | that is 12 h younger; all: after 12 h without another
    refusing:{b}          | bucket  | Whose refused requests there are. All: after 12 h without one; a member: also
                          |         | after those of 3 other accounts, and their requests with it
    bulk:{b}:AC           | account | A replay of many messages, the last one. After ROUTER_RETENTION_DAYS. Of all
                          |         | accounts, those where one runs. A member: it is done, or there is none
    bulk_left:{b}:AC:<id> | account | Its messages that were not looked at yet. A member: looked at; all: after
                          |         | ROUTER_RETENTION_DAYS
    bulk_turn:{b}:AC      | account | Which process does it. After 15 s
    chat_keys:{0}         | router  | The keys that visitors' tokens are signed with, two at most. One: replaced
                          |         | after 30 days, and gone after 30 more
    failures:{0}:<net>    | router  | Wrong passwords, to limit them. After 60 s
    attempts:{0}:<net>    | router  | Attempts to sign in to the console, to limit wrong ones. After 60 s
    session:{0}:<sha256>  | router  | A signed-in browser. Signed out, after 12 h without a request, or 7 days
    sessions:{0}          | router  | When all sessions were ended. After 7 days, when none of them could go on
    processes:{0}         | router  | What each process that takes messages says of itself. A member: 20 s after it was
                          |         | said last, or when its process stops; all: with the last of them
    served:{0}:<digest>   | router  | The accounts and handlers of some processes. 20 s after the last of them said so
    refused_reload:{0}:<> | router  | Why a router was not reloaded, for the command that asked for it. After 60 s
    upkeep:{0}            | router  | Whose turn it is to do the upkeep. After 300 s
"""

from hashlib import sha256
from typing import Final

BUCKETS: Final = tuple(f"{number:02x}" for number in range(256))
# The lock for the upkeep. One key for all buckets.
TURN: Final = "upkeep:{0}"
# The keys of visitors' tokens. They are common to all accounts.
CHAT_KEYS: Final = "chat_keys:{0}"
# The lock for listing the sessions of Proxy.
PROXY_TURN: Final = "proxy_turn:{0}"


def bucket(account_sid: str) -> str:
    """Return the account's bucket: the last two hexadecimal digits of its SID, which are as random as the SID."""
    return account_sid[-2:].lower()


class AccountKeys:
    """The keys of one account, or the prefixes that scripts complete."""

    __slots__ = (
        "accounts",
        "addresses",
        "alive",
        "bindings",
        "bulk",
        "bulk_left",
        "bulk_turn",
        "changes",
        "chat_identities",
        "chat_limits",
        "chat_messages",
        "chat_mirrored",
        "chat_names",
        "chat_visitors",
        "chats",
        "clock",
        "contacts",
        "dead",
        "due",
        "flow_records",
        "flows",
        "gaps",
        "held",
        "lanes",
        "languages",
        "leases",
        "log",
        "looked",
        "messages",
        "migrations",
        "names",
        "own_chats",
        "own_flows",
        "proxied",
        "proxied_wanted",
        "proxying",
        "queued",
        "recovered",
        "recovering",
        "resumed",
        "seen",
    )

    def __init__(self, account_sid: str) -> None:
        tag = f"{{{bucket(account_sid)}}}"
        self.accounts = f"accounts:{tag}"  # hash: AccountSid -> seconds without it in any settings
        self.messages = f"message:{tag}:"  # + message id, which is <AccountSid>:<MessageSid>
        self.lanes = f"lane:{tag}:"  # + lane id
        self.leases = f"leases:{tag}"  # lanes whose head is being sent
        self.due = f"due:{tag}"  # <AccountSid>:<flow SID> of each due set; the set's own key has that after a colon
        self.clock = f"clock:{tag}"  # see clock.lua
        self.resumed = f"resumed:{tag}:{account_sid}:"  # + flow SID
        self.dead = f"dead:{tag}:{account_sid}"
        self.queued = f"queued:{tag}"  # hash: AccountSid -> messages not done yet
        self.held = f"held:{tag}:{account_sid}"
        self.log = f"log:{tag}:{account_sid}"
        self.flow_records = f"flow:{tag}:"  # + <AccountSid>:<flow SID>
        self.own_flows = f"flow:{tag}:{account_sid}:"  # + flow SID
        self.flows = f"flows:{tag}:{account_sid}"
        self.names = f"named:{tag}:{account_sid}:"  # + four digits, see `named`
        self.addresses = f"address:{tag}:{account_sid}:"  # + contact identity
        self.bulk = f"bulk:{tag}:{account_sid}"
        self.bulk_left = f"bulk_left:{tag}:{account_sid}:"  # + id of the replay
        self.bulk_turn = f"bulk_turn:{tag}:{account_sid}"
        self.changes = f"changes:{tag}:{account_sid}"
        self.languages = languages(bucket(account_sid))
        self.contacts = f"contact:{tag}:{account_sid}:"  # + contact id
        self.chat_mirrored = f"chat_mirrored:{tag}:{account_sid}:"  # + chat SID
        self.bindings = f"binding:{tag}:{account_sid}:"  # + lane id
        self.migrations = f"migration:{tag}:{account_sid}:"  # + flow SID
        self.proxied = f"proxied:{tag}:{account_sid}"
        self.proxied_wanted = f"proxied_wanted:{tag}"
        self.proxying = f"proxying:{tag}:{account_sid}:"  # + lane id, or flow SID
        self.alive = f"alive:{tag}"  # hash: AccountSid -> ms of the last heartbeat
        self.gaps = f"gaps:{tag}"  # hash, see outage.lua
        self.recovering = f"recovering:{tag}:{account_sid}"
        self.looked = f"looked:{tag}:{account_sid}"
        self.seen = f"seen:{tag}:{account_sid}"
        self.recovered = f"recovered:{tag}:{account_sid}"
        self.own_chats = f"chat:{tag}:{account_sid}:"  # + conversation SID
        self.chat_messages = f"chat_messages:{tag}:{account_sid}:"  # + conversation SID
        self.chats = f"chats:{tag}:{account_sid}"
        self.chat_names = f"chat_names:{tag}:{account_sid}"
        self.chat_visitors = f"chat_visitor:{tag}:{account_sid}:"  # + digest
        self.chat_identities = f"chat_identity:{tag}:{account_sid}:"  # + digest
        self.chat_limits = f"chat_limit:{tag}:{account_sid}:"  # + what is limited, and for whom

    def named(self, friendly_name: str) -> str:
        """Return the key of the flows whose friendly name has the same digest prefix.

        A key for each name would cost 150 bytes per flow. With 16,384 keys, a million flows are 61 per key: few enough
        for the store's compact encoding (128), in which a flow costs some 50 bytes.
        """
        return f"{self.names}{int(sha256(friendly_name.encode()).hexdigest()[:4], 16) >> 2:04x}"


def guard(tag: str) -> str:
    """Return the guard of a tag's scripts, a key that never exists: see `router.store.script.script`."""
    return f"guard:{{{tag}}}"


def languages(tag: str) -> str:
    """Return the key of the set of languages that flows of a bucket name."""
    return f"languages:{{{tag}}}"


def chat_channel(tag: str) -> str:
    """Return the channel on which a bucket's chats say what happens: not a key."""
    return f"chat:{{{tag}}}"


# The accounts with a replay of many messages that runs; a process looks there for all of its accounts at once.
BULK: Final = "bulk:{0}"

# The set of the announced processes: it is common to all accounts, and so belongs to no bucket.
PROCESSES: Final = "processes:{0}"


def served(name: str) -> str:
    """Return the key of the accounts and handlers of some processes, by their digest (`Process.serves`)."""
    return f"served:{{0}}:{name}"


def refused_reload(machine: str, master: int) -> str:
    """Return the key of why a router, by the process that forks its workers, was not reloaded."""
    return f"refused_reload:{{0}}:{sha256(f'{machine} {master}'.encode()).hexdigest()[:24]}"
