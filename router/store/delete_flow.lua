#!lua flags=allow-oom
-- Removes a flow.
--
-- KEYS 1 flow string   2 address hash   3 flows zset (as in put_flow.lua)
-- ARGV 1 sid   2 the record that the caller read   3 new version for the address entry
--
-- Returns {ok} | {changed, the record as it is, '' when it is gone}
local current = redis.call('GET', KEYS[1]) or ''
if current == '' or current ~= ARGV[2] then return {'changed', current} end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('HLEN', KEYS[2]) <= 1 then redis.call('DEL', KEYS[2])
else redis.call('HSET', KEYS[2], 'version', ARGV[3]) end
redis.call('ZREM', KEYS[3], ARGV[1])
return {'ok'}
