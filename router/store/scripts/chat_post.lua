#!lua
-- Appends an agent's message to a web chat.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset
-- ARGV 1 ms that the chat is kept, 0 for as long as it is open   2 the message, JSON
--
-- Returns the message's index, -1 if there is no such chat, -2 if it is closed
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state == 'closed' then return -2 end
local index = chat_next(KEYS[1], KEYS[2])
chat_append(KEYS[1], KEYS[2], KEYS[3], ARGV[2], tonumber(ARGV[1]))
return index
