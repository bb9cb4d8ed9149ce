#!lua
-- Adds a web chat to the list of a participant's identity.
--include chat
--
-- KEYS 1 chat   hash   2 chat_identity   zset
-- ARGV 1 the identity's id, as in the name of key 2   2 ms that the list is kept
--
-- Returns 1, or 0 if there is no such chat
local listed = redis.call('HMGET', KEYS[1], 'state', 'listed')
if not listed[1] then return 0 end
if not string.find(listed[2] or '', ARGV[1], 1, true) then
  redis.call('HSET', KEYS[1], 'listed', (listed[2] or '') .. ' ' .. ARGV[1])
end
chat_list(KEYS[1], KEYS[2], ARGV[2])
return 1
