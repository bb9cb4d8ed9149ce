#!lua flags=allow-oom
-- Lets a lane's head be sent now, and not at its next retry. A lane that is due already keeps its place.
--include clock
--include lane
--include lane_action
--
-- KEYS 1 lane   list   ids of a conversation's messages not done yet, oldest first
-- ARGV 1 lane id   2 ms for which the caller has not heard of the store (clock.lua)
--      3 id of the message that a person wants sent, which is in the lane   4 who that is, '' for no person
--
-- Returns {due, id of the head} | {sending, id of the head} | {empty, ''}
local lane_id = ARGV[1]
local now = clocks(tag, tonumber(ARGV[2]))
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then return {'empty', ''} end
local m = redis.call('HMGET', messages .. head, 'state', 'flow')
if redis.call('HGET', messages .. ARGV[3], 'state') == 'queued' then note_action(ARGV[3], 'hurried', ARGV[4]) end
if m[1] == 'sending' then return {'sending', head} end
local set = set_of(head, m[2])
if tonumber(redis.call('ZSCORE', due .. ':' .. set, lane_id) or 0) > now then
  leave(lane_id, set)
  wait(lane_id, now)
end
return {'due', head}
