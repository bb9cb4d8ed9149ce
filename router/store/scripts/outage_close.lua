#!lua
-- Removes a gap that has been looked into, unless it has grown meanwhile.
--
-- KEYS 1 gaps   hash   see outage.lua
-- ARGV 1 account   2 the gap as it was
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
