#!lua flags=allow-oom
-- Makes a queued or held message undelivered. The next message of its conversation may then be sent.
--include clock
--include lane
--include lane_end
--include lane_action
--
-- KEYS 1 message   hash
-- ARGV 1 lane id   2 message id   3 ms since the caller last heard from the store (clock.lua)
--      4 who cancels it   5 retention in ms   6 the reason that is recorded
--
-- Returns cancelled | busy (it is being sent, or the replicas have not confirmed it yet) | done | missing
local message, lane_id, id = KEYS[1], ARGV[1], ARGV[2]
local now = clocks(tag, tonumber(ARGV[3]))
local m = redis.call('HMGET', message, 'state', 'flow', 'unconfirmed')
if not m[1] then return 'missing' end
if m[1] == 'sending' or (m[1] == 'queued' and tonumber(m[3] or 0) > now) then return 'busy' end
if m[1] == 'queued' then take_out(lane_id, id, m[2], now)
elseif m[1] == 'held' then unhold(id)
else return 'done' end
redis.call('HDEL', message, 'unconfirmed')
redis.call('HSET', message, 'error', ARGV[6])
note_action(id, 'cancelled', ARGV[4])
finish(id, 'undelivered', '', now, tonumber(ARGV[5]))
return 'cancelled'
