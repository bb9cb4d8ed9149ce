"""The handler of the demo, which answers messages until the user sets up other flows."""

from router.message.inbound import Message


def handle(message: Message) -> str:
    """Return a text that repeats the customer's message."""
    media = f"{message.num_media} attachment{'s' * (message.num_media > 1)}" if message.num_media else ""
    if not message.body:
        return f"You sent {media or 'an empty message'}."
    return f"You wrote{' with ' * bool(media)}{media}: {message.body}"
