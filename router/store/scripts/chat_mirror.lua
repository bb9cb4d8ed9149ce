#!lua
-- Appends a message from the chat's Conversation at Twilio to a web chat, once.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset   4 mirrored   set   SIDs of such messages
-- ARGV 1 ms that the chat is kept, 0 for as long as it is open   2 the message, JSON   3 its SID   4 ms of retention
--
-- Returns the message's index, -1 if there is no such chat, -2 if it is closed, -3 if it has the message already
local state = redis.call('HGET', KEYS[1], 'state')
if not state then return -1 end
if state == 'closed' then return -2 end
if redis.call('SADD', KEYS[4], ARGV[3]) == 0 then return -3 end
redis.call('PEXPIRE', KEYS[4], ARGV[4])
local index = chat_next(KEYS[1], KEYS[2])
chat_append(KEYS[1], KEYS[2], KEYS[3], ARGV[2], tonumber(ARGV[1]))
return index
