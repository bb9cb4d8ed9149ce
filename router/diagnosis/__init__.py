"""Finds out why a signature does not match, and what Twilio does after an answer.

Each deviation between the request that Twilio signed and the received one has a name. The results are only for people:
no request is accepted because of them, and nothing here runs before a request is refused.
"""
