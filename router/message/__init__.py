"""Twilio's webhook format: the inbound message, channels, addresses and how they are masked, signatures, TwiML.

Changes when Twilio changes its webhook. The package does no I/O: it uses no clock, socket, store or setting.
"""

from router.message.inbound import Message

__all__ = ["Message"]
