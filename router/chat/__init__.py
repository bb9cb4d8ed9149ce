"""Web chat: addresses, visitors, their messages, and the streams that show them the answers.

What is kept of a chat is in `router.store.chats`. No Flask: `router.web.chat` has the pages and the visitor's API. A
visitor's message is accepted by `delivery.intake` as any other.
"""
