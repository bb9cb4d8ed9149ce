"""Why a signature does not match, and what Twilio does after an answer.

Deviations between what Twilio signed and what arrived are single and named. All of it is only for people to read:
nothing is ever accepted because of it, and nothing of it runs before a request is refused.
"""
