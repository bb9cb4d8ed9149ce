"""Twilio's REST resources of web chats: WebChats, WebChannels, Conversations, Messages, Participants, Webhooks.

They show the chats that live in this router, and no conversation that lives at Twilio.
"""
