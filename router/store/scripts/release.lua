#!lua flags=allow-oom
-- Puts a held message (hold.lua) at the tail of its lane. Its age counts from now on.
--include clock
--include lane
--include lane_action
--
-- KEYS 1 message   hash
-- ARGV 1 lane id   2 message id   3 ms since the caller last heard from the store (clock.lua)   4 who releases it
--
-- Returns {released, how many messages are before it} | {other (it is not held), 0} | {missing, 0}
local message, lane_id, id = KEYS[1], ARGV[1], ARGV[2]
local now = clocks(tag, tonumber(ARGV[3]))
local state = redis.call('HGET', message, 'state')
if state ~= 'held' then return {state and 'other' or 'missing', 0} end
redis.call('HSET', message, 'state', 'queued', 'held', now)
redis.call('ZREM', holds .. account_of(id), id)
note_action(id, 'released', ARGV[4])
local length = redis.call('RPUSH', lanes .. lane_id, id)
if length == 1 then wait(lane_id, now) end
return {'released', length - 1}
