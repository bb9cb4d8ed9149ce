"""Webhooks at Twilio that are pointed here for a while: what they were before, on disk, and how that comes back."""
