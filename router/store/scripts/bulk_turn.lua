#!lua
-- Takes or keeps the turn to do a replay of many messages; or gives it up.
--
-- KEYS 1 the turn
-- ARGV 1 the caller's token   2 ms for which it is taken; 0 to give it up
--
-- Returns 1 when the caller has it.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
