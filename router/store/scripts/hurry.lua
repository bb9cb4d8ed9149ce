#!lua flags=allow-oom
-- Makes a lane due now instead of at its head's next retry. A lane that is already due keeps its place.
--include clock
--include lane
--include lane_action
--
-- KEYS 1 lane   list   ids of a conversation's messages not done yet, oldest first
-- ARGV 1 lane id   2 ms since the caller last heard from the store (clock.lua)
--      3 id of the message of this lane that shall be sent soon   4 who asked for it, '' if no person did
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
