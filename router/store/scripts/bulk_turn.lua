#!lua
-- Takes, extends or releases a lock: the process that has it carries out the bulk replay.
--
-- KEYS 1 the lock   string   the holder's token
-- ARGV 1 the caller's token   2 ms for which it is taken; 0 to release it
--
-- Returns 1 if the caller has or had it, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
