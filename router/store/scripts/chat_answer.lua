#!lua
-- Appends an integration's answer to a visitor's message, once: a repeated call or attempt adds nothing.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset   4 the message that is answered   hash
-- ARGV 1 ms that the chat is kept, 0 for as long as it is open   2… messages of the answer, JSON
--
-- Returns how many were appended, -1 if the message was answered before, -2 if the chat is gone or closed
local m = redis.call('HMGET', KEYS[4], 'answered', 'raw')
if m[1] and m[1] ~= '' then return -1 end
if not m[2] then return -2 end -- it was erased
local state = redis.call('HGET', KEYS[1], 'state')
if not state or state == 'closed' then return -2 end
redis.call('HSET', KEYS[4], 'answered', 'chat')
for n = 2, #ARGV do chat_append(KEYS[1], KEYS[2], KEYS[3], ARGV[n], tonumber(ARGV[1])) end
return #ARGV - 1
