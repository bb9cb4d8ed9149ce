#!lua
-- Notes what became of the first message of a replay of many, once.
--
-- KEYS 1 bulk hash   2 list of the messages that are left
-- ARGV 1 its id   2 the first entry of the list   3 what became of it
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] or redis.call('LINDEX', KEYS[2], 0) ~= ARGV[2] then return 0 end
redis.call('LPOP', KEYS[2])
redis.call('HINCRBY', KEYS[1], ARGV[3], 1)
return 1
