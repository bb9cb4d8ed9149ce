"""Twilio's webhook format: the inbound message, channels, addresses, signatures, TwiML.

A channel is a row of `channel`, which says what else it needs. `masking`: how logs and the console shorten addresses
and remove secrets.

Changes when Twilio changes its webhook. The package does no I/O: it uses no clock, socket, store or setting.
"""

from router.message.inbound import Message

__all__ = ["Message"]
