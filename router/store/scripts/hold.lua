#!lua flags=allow-oom
-- Takes a queued message out of its lane. It is not sent until it is released (release.lua); the messages behind it
-- are. Its state is 'held', which REST and commands show as queued. It still counts as a message that is not done, and
-- does not expire.
--include clock
--include lane
--include lane_end
--include lane_action
--
-- KEYS 1 message   hash
-- ARGV 1 lane id   2 message id   3 ms since the caller last heard from the store (clock.lua)   4 who holds it
--
-- Returns held | busy (it is being sent, or the replicas have not confirmed it yet) | done | missing
local message, lane_id, id = KEYS[1], ARGV[1], ARGV[2]
local now = clocks(tag, tonumber(ARGV[3]))
local m = redis.call('HMGET', message, 'state', 'flow', 'unconfirmed')
if not m[1] then return 'missing' end
if m[1] == 'held' then return 'held' end
if m[1] == 'sending' or (m[1] == 'queued' and tonumber(m[3] or 0) > now) then return 'busy' end
if m[1] ~= 'queued' then return 'done' end
take_out(lane_id, id, m[2], now)
redis.call('HINCRBY', queued, account_of(id), 1)
redis.call('ZADD', holds .. account_of(id), wall_ms(), id)
redis.call('HDEL', message, 'unconfirmed')
redis.call('HSET', message, 'state', 'held')
note_action(id, 'held', ARGV[4])
return 'held'
