"""Why a signature does not match: single, named deviations between what Twilio signed and what arrived.

Only for people to read: nothing is ever accepted because of it, and nothing of it runs before a request is refused.
"""
