"""The front door for a business's inbound messages on Twilio."""
