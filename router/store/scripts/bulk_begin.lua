#!lua
-- Begins a bulk replay, unless one is running.
--
-- KEYS 1 bulk hash
-- ARGV 1 seconds that it is kept   2… field value …
--
-- Returns 1, or 0 if another one is running.
local state = redis.call('HGET', KEYS[1], 'state')
if state == 'running' or state == 'stopping' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
