"""Twilio's resources of web chats, for programs: WebChats, WebChannels, Conversations and what is in them.

They show the chats that live in this router. A conversation at Twilio is asked for at Twilio.
"""
