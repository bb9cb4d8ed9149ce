#!lua flags=allow-oom
-- Erases a web chat with its messages; its open streams end.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset   4 chat_names   hash   5 chat_identity   zset
-- ARGV 1 conversation SID
--
-- Returns 1, or 0 if there is no such chat
local chat, id = KEYS[1], ARGV[1]
local record = redis.call('HMGET', chat, 'state', 'unique_name')
redis.call('DEL', chat, KEYS[2])
redis.call('ZREM', KEYS[3], id)
if record[2] and redis.call('HGET', KEYS[4], record[2]) == id then redis.call('HDEL', KEYS[4], record[2]) end
redis.call('ZREM', KEYS[5], id)
if not record[1] then return 0 end
chat_publish(chat, '{"event":"erased"}')
return 1
