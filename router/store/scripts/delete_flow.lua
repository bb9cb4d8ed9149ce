#!lua flags=allow-oom
-- Removes a flow.
--
-- KEYS 1 flow string   2 address hash   3 flows zset   4 named zset   5 changes stream (as in put_flows.lua)
-- ARGV 1 sid   2 the record that the caller read   3 new version for the address entry
--      4 who deletes it   5 what changed   6 changes kept, about
--
-- Returns {ok} | {changed, 1, the current record, '' if the flow does not exist}
local sid = ARGV[1]
local current = redis.call('GET', KEYS[1]) or ''
if current == '' or current ~= ARGV[2] then return {'changed', 1, current} end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], sid)
if redis.call('HLEN', KEYS[2]) <= 1 then redis.call('DEL', KEYS[2])
else redis.call('HSET', KEYS[2], 'version', ARGV[3]) end
redis.call('ZREM', KEYS[3], sid)
redis.call('ZREM', KEYS[4], sid)
redis.call('XADD', KEYS[5], 'MAXLEN', '~', ARGV[6], '*', 'flow', sid, 'by', ARGV[4], 'change', ARGV[5])
return {'ok'}
