"""Twilio's REST resources of web chats: WebChats, WebChannels, Conversations, Messages, Participants, Webhooks.

They have the chats of this router, not the conversations at Twilio.
"""
