"""Names of keys. All of one account carries the hash tag of the account's bucket, so that a script sees it whole.

There are 16 buckets, told from the AccountSid, so that accounts spread over the slots of a Cluster.
No phone number is in a key but in address entries, which the operator wrote; nothing from outside has a brace.
"""

from hashlib import sha256


def bucket(account_sid: str) -> str:
    """Return the account's bucket: the last hexadecimal digit of its SID, which is as random as the SID."""
    return account_sid[-1].lower()


class AccountKeys:
    """The keys of one account, or the prefixes that scripts complete."""

    __slots__ = (
        "addresses",
        "changes",
        "contacts",
        "dead",
        "due",
        "flow_records",
        "flows",
        "lanes",
        "languages",
        "log",
        "messages",
        "names",
        "own_flows",
        "queued",
    )

    def __init__(self, account_sid: str) -> None:
        tag = f"{{{bucket(account_sid)}}}"
        self.messages = f"message:{tag}:"  # + message id, which is <AccountSid>:<MessageSid>
        self.lanes = f"lane:{tag}:"  # + lane id
        self.due = f"due:{tag}"
        self.dead = f"dead:{tag}:{account_sid}"
        self.queued = f"queued:{tag}"  # hash: AccountSid -> messages not done yet
        self.log = f"log:{tag}:{account_sid}"
        self.flow_records = f"flow:{tag}:"  # + <AccountSid>:<flow SID>
        self.own_flows = f"flow:{tag}:{account_sid}:"  # + flow SID
        self.flows = f"flows:{tag}:{account_sid}"
        self.names = f"named:{tag}:{account_sid}:"  # + four digits, see `named`
        self.addresses = f"address:{tag}:{account_sid}:"  # + contact identity
        self.changes = f"changes:{tag}:{account_sid}"
        self.languages = languages(bucket(account_sid))
        self.contacts = f"contact:{tag}:{account_sid}:"  # + contact id

    def named(self, friendly_name: str) -> str:
        """Return the key of the flows that have this friendly name, and of those whose name's digest begins like it.

        A key for each name would cost 150 bytes a flow. In 65,536 keys, a million flows are sixteen in each: so few
        that the store keeps them packed, and a flow costs some 60 bytes.
        """
        return self.names + sha256(friendly_name.encode()).hexdigest()[:4]


def dead_prefix(tag: str) -> str:
    """Return what `claim` completes with an AccountSid to name the index of the dead."""
    return f"dead:{{{tag}}}:"


def languages(tag: str) -> str:
    """Return the key of the set of languages that flows of a bucket name."""
    return f"languages:{{{tag}}}"


def loaded(tag: str) -> str:
    """Return the key of the set of those for which the router that started last has models in memory."""
    return f"loaded:{{{tag}}}"
