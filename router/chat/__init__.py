"""Web chat: addresses, visitors, their messages, the end of a chat, and the event streams of visitors.

`router.store.chats` stores the chats, with the fields of `chat_record`; `router.web.chat` has the pages and the
visitor's API: nothing here imports redis or Flask. `delivery.intake` accepts a visitor's message, like every message.
"""
