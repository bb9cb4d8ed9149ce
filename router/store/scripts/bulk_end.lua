#!lua
-- Records that a bulk replay shall stop, or has ended.
--
-- KEYS 1 bulk hash   2 list of the messages that are left
-- ARGV 1 its id   2 stopping | stopped | done   3 when it ended, in ms since 1970; 0 for stopping
--
-- Returns 1, or 0 if this replay is not running
local state = redis.call('HGET', KEYS[1], 'state')
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] or (state ~= 'running' and state ~= 'stopping') then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[2])
if ARGV[3] ~= '0' then
  redis.call('HSET', KEYS[1], 'ended', ARGV[3])
  redis.call('DEL', KEYS[2])
end
return 1
