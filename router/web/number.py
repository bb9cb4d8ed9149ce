"""Numbers in requests."""


def whole_number(text: str, digits: int) -> int | None:
    """Return the number that a text of ASCII digits, at most so many, stands for; None for any other text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= digits else None
