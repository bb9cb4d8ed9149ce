"""What Twilio sends and what it may be answered: the inbound message, addresses, signatures, TwiML.

Changes when Twilio changes its webhook. No input or output lives here: no clock, no socket, no store, no setting.
"""

from router.message.inbound import Message

__all__ = ["Message"]
