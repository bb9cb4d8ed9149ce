"""`router connect`, `disconnect` and `tunnel`: they point numbers at Twilio to this router, and restore them later.

The previous values of a webhook are on disk before anything is changed at Twilio.
"""
