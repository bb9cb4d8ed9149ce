"""The handler of the demo: what `make run` answers with until a flow says otherwise."""

from router.message.inbound import Message


def handle(message: Message) -> str:
    """Say back what the customer wrote."""
    media = f"{message.num_media} attachment{'s' * (message.num_media > 1)}" if message.num_media else ""
    if not message.body:
        return f"You sent {media or 'an empty message'}."
    return f"You wrote{' with ' * bool(media)}{media}: {message.body}"
