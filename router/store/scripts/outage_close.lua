#!lua
-- Removes a gap that recovery has handled, unless it has grown in between.
--
-- KEYS 1 gaps   hash   see outage.lua
-- ARGV 1 account   2 the gap that was handled
--
-- Returns 1, or 0 if it has grown or is gone
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
