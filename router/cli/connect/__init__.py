"""`router connect`, `disconnect` and `tunnel`: numbers at Twilio point here for a while, and are restored.

What a webhook was before is on disk before anything is changed at Twilio.
"""
