#!lua flags=allow-oom
-- Notes that a process takes messages, for some seconds; what it said before is forgotten, and so are those that are late.
--
-- KEYS 1 processes: sorted set, what processes say of themselves -> ms until which it counts
-- ARGV 1 what the process says, 2 what it said before or "", 3 ms for which it counts
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] ~= '' and ARGV[2] ~= ARGV[1] then redis.call('ZREM', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
