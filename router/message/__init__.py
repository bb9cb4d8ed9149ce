"""Twilio's webhook format: the inbound message, channels, addresses, signatures, TwiML.

A channel is a row of `channel`, which describes what else a new one needs. `masking` shortens addresses and removes
secrets for logs and the console.

This package changes when Twilio changes its webhook. It does no I/O: it uses no clock, socket, store or setting.
"""

from router.message.inbound import Message

__all__ = ["Message"]
