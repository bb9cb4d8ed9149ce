"""Names of keys. All keys of an account have the hash tag of its bucket, so that one script can access all of them.

There are 256 buckets, derived from the AccountSid, so that accounts spread over the slots of a Cluster: of three nodes,
each has 83 to 89 buckets. The router's own keys have the tag `{0}`, which is not a bucket's: they are few, and their
scripts need them in one slot. Keys contain no phone numbers, except those of address entries, which the operator set;
external input in a key never has a brace.

Every key has an owner, a purpose and an expiry. `{b}` is a bucket, AC an AccountSid. An account's keys are also removed
with the account: when routers have run without it for 30 days (by upkeep.py, like the entries marked with *).

    key                   | whose   | what for, and its end
    message:{b}:AC:SM     | account | A message and its result; it detects duplicates. ROUTER_DELIVERED_HOURS
                          |         | (delivered, redirected) or ROUTER_RETENTION_DAYS after it is done, at the latest
                          |         | after its ValidityPeriod, which does not run while its flow is paused or it is
                          |         | held
    taken:{b}:AC:<digits> | account | SIDs of accepted messages, kept for longer than their records, against replayed
                          |         | requests. After 30 to 60 days
    guard:{b}             | bucket  | Keeps scripts from running while the slot is moved in a Cluster. Never written
    lane:{b}:<lane>       | account | The order of a conversation's messages. The last of them is done
    leases:{b}            | bucket  | Lanes whose head is being sent. A member: settled, or after ROUTER_LEASE_SECONDS
    due:{b}:AC:FO         | account | Lanes that wait for a flow, by time. A member: claimed
    due:{b}               | bucket  | The earliest time in each of those sets. A member: with its set
    clock:{b}             | bucket  | The lease clock and the due clock. After 30 days without a router
    resumed:{b}:AC:FO     | account | When a flow's pause ended, which does not count for ages. After two weeks
    queued:{b}            | bucket  | Each account's number of messages not done. A field: with its account *
    held:{b}:AC           | account | Held messages, since when. A member: released or cancelled
    log:{b}:AC            | account | Messages by time, for lists. A member: after its message *
    dead:{b}:AC           | account | Undelivered and unrouted ones. A member: replayed, erased, or after its message *
    flow:{b}:AC:FO        | account | A Flex Flow. It is removed
    flows:{b}:AC          | account | Flows in their order, for lists. A member: with its flow
    named:{b}:AC:<name>   | account | Flows by FriendlyName, for lists. A member: with its flow
    address:{b}:AC:<ours> | account | The flows of an address, and their version. The last of them is removed
    changes:{b}:AC        | account | Who changed which flow. An entry: after about 10,000 newer ones
    contact:{b}:AC:<id>   | account | A contact's language and conversations, or the contact that this address is an
                          |         | alias of. ROUTER_STICKY_HOURS or ROUTER_RETENTION_DAYS, the longer, after the
                          |         | last message; with a language, an alias or a LongLived flow: it is erased. A
                          |         | conversation: also after 100 newer ones
    binding:{b}:AC:<lane> | account | The task or Conversation that a conversation has at Twilio. 30 days after its
                          |         | last message, or its sender is erased
    chat:{b}:AC:CH        | account | A web chat. ROUTER_RETENTION_DAYS after its last activity; of a LongLived flow
                          |         | without janitor: that long after it is closed. Or it is erased
    chat_messages:{b}:AC:CH | account | Its messages, for its visitor. With the chat; one: after 1,000 newer ones
    chats:{b}:AC          | account | Chats by their last activity, for lists. A member: after its chat *
    chat_names:{b}:AC     | account | Chats by unique name. A field: erased, or replaced, or after its chat *
    chat_visitor:{b}:AC:<id> | account | The chat that a browser, or a signed identity, may resume. As the chat
    chat_identity:{b}:AC:<id> | account | The chats of an identity, as visitor or participant. As the last of them; one:
                          |         | after its chat, when the identity's list is written again
    chat_mirrored:{b}:AC:CH | account | Its messages from Twilio. ROUTER_RETENTION_DAYS after the last one
    chat_limit:{b}:AC:<what> | account | Counts of visitors' actions, for rate limits. After an hour at most
    migration:{b}:AC:FO   | account | The counts of a flow's migration. 90 days after its last message
    proxied:{b}:AC        | account | Contacts in a live session of Proxy (`router.store.proxied`). After two minutes
    proxied_wanted:{b}    | bucket  | Accounts whose sessions of Proxy are listed. A field: after an hour without a
                          |         | message of a contact that may move
    proxying:{b}:AC:<l>   | account | By lane and by flow: a message went to Proxy a short time ago. After 300 s
    proxy_turn:{0}        | router  | The lock of the process that lists the sessions of Proxy. After 60 s
    languages:{b}         | bucket  | Languages that flows name, for detection. The bucket's last account *; there are
                          |         | 18,252 codes at most, of two or three letters
    accounts:{b}          | bucket  | How long routers have run without an account. A field: with its account *
    alive:{b}             | bucket  | When a router last served each account. A field: with its account *
    gaps:{b}              | bucket  | When messages may have been missed. A field: recovered, or with its account *
    recovering:{b}:AC     | account | The lock of an account's recovery. After 120 s
    looked:{b}:AC         | account | Exists if refused signatures have started a recovery. After ten minutes
    seen:{b}:AC           | account | Addresses that received messages. A member: 30 days after the last one
    recovered:{b}:AC      | account | Reports of recoveries. An entry: after 20 newer ones; all: ROUTER_RETENTION_DAYS
    refused:{b}:AC        | account | Refused requests, for `router doctor`. AC:unknown has those without a known
                          |         | account, under the settings' first one. An entry: after 16 newer ones, or with the
                          |         | first one that is 12 h newer; all: after 12 h without another
    refusing:{b}          | bucket  | The accounts with refused requests. All: after 12 h without one; a member: also
                          |         | after those of 3 other accounts, and its requests with it
    bulk:{b}:AC           | account | The last bulk replay. After ROUTER_RETENTION_DAYS. bulk:{0} has the accounts where
                          |         | one is running. A member: it has ended
    bulk_left:{b}:AC:<id> | account | Its messages that are left. A member: handled; all: after ROUTER_RETENTION_DAYS
    bulk_turn:{b}:AC      | account | The lock of the process that carries it out. After 15 s
    chat_keys:{0}         | router  | The keys that sign visitors' tokens, two at most. One: replaced after 30 days,
                          |         | and removed after 30 more
    failures:{0}:<net>    | router  | Counts of wrong passwords, for rate limits. After 60 s
    attempts:{0}:<net>    | router  | Counts of attempts to sign in to the console, for rate limits. After 60 s
    session:{0}:<sha256>  | router  | A signed-in browser. Signed out, after 12 h without a request, or 7 days
    sessions:{0}          | router  | When all sessions were ended. After 7 days, the maximum age of a session
    processes:{0}         | router  | The entry of each process that takes messages. A member: 20 s after its last
                          |         | announcement, or when its process stops; all: with the last of them
    served:{0}:<digest>   | router  | The accounts and handlers of some processes. 40 s after their last announcement
    refused_reload:{0}:<> | router  | Why a router was not reloaded, for the command that asked for it. After 60 s
    upkeep:{0}            | router  | The lock for the upkeep. After 300 s
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

        A key for each name would cost 150 bytes per flow. With 16,384 keys, a million flows are 61 per key: few
        enough for the store's compact encoding (up to 128), in which a flow costs about 50 bytes.
        """
        return f"{self.names}{int(sha256(friendly_name.encode()).hexdigest()[:4], 16) >> 2:04x}"


def guard(tag: str) -> str:
    """Return the guard of a tag's scripts, a key that never exists: see `router.store.script.script`."""
    return f"guard:{{{tag}}}"


def languages(tag: str) -> str:
    """Return the key of the set of languages that flows of a bucket name."""
    return f"languages:{{{tag}}}"


def chat_channel(tag: str) -> str:
    """Return the channel of the events of a bucket's chats, which is not a key."""
    return f"chat:{{{tag}}}"


# The accounts with a running bulk replay, in one key, so that a process reads it once for all its accounts.
BULK: Final = "bulk:{0}"

# The announced processes. Common to all accounts, so without a bucket.
PROCESSES: Final = "processes:{0}"


def served(name: str) -> str:
    """Return the key of the accounts and handlers that some processes have in common, by digest (`Process.serves`)."""
    return f"served:{{0}}:{name}"


def refused_reload(machine: str, master: int) -> str:
    """Return the key of the reason why a router was not reloaded; `master` is the process that forks its workers."""
    return f"refused_reload:{{0}}:{sha256(f'{machine} {master}'.encode()).hexdigest()[:24]}"
