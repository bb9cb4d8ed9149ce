#!lua flags=allow-oom
-- Removes the unique names of chats that have expired.
--
-- KEYS 1 chat_names   hash
-- ARGV 1 prefix of chats   2… name, conversation SID, name, conversation SID …
--
-- Returns how many were dropped
local gone = 0
for i = 2, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] and redis.call('EXISTS', ARGV[1] .. ARGV[i + 1]) == 0 then
    gone = gone + redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return gone
