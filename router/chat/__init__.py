"""Web chat: addresses, visitors, their messages, the end of a chat, and the streams that show visitors what is new.

`router.store.chats` keeps the chats (`chat_record` says what of them), and `router.web.chat` has the pages and the
visitor's API: nothing here imports redis or Flask. A visitor's message is accepted by `delivery.intake`, as every
message is.
"""
