#!lua flags=allow-oom
-- Takes a message out of its lane that was accepted but not confirmed by the replicas, so that Twilio received 503. It
-- is now in doubt: another program may have handled it. It is sent only if it is received again (accept.lua), or
-- replayed.
--include clock
--include lane
--
-- KEYS 1 message   hash
-- ARGV 1 token   2 lane id   3 message id   4 ms since the caller last heard from the store (clock.lua)
--      5 retention in ms   6 the error that is recorded
--
-- Returns doubt | known (a second webhook for it was answered in between: it stays) | stale (it is no longer the
-- caller's)
local message, lane_id, id = KEYS[1], ARGV[2], ARGV[3]
local now = clocks(tag, tonumber(ARGV[4]))
local m = redis.call('HMGET', message, 'token', 'state', 'lease', 'unconfirmed', 'duplicates', 'flow')
if m[1] ~= ARGV[1] then return 'stale' end
if m[5] then return 'known' end
local head = redis.call('LINDEX', lanes .. lane_id, 0) == id
if m[2] == 'sending' and m[3] == ARGV[1] then
  redis.call('ZREM', leases, lane_id)
elseif m[2] == 'queued' and m[4] then
  if head then leave(lane_id, set_of(id, m[6])) end
else
  return 'stale'
end
redis.call('LREM', lanes .. lane_id, -1, id)
redis.call('HINCRBY', queued, account_of(id), -1)
redis.call('HDEL', message, 'lease', 'attempts', 'unconfirmed')
redis.call('HSET', message, 'state', 'undelivered', 'doubt', 1, 'error', ARGV[6])
redis.call('PEXPIRE', message, ARGV[5])
redis.call('ZADD', 'dead:' .. tag .. ':' .. account_of(id), now, id)
if head then wait(lane_id, now) end
return 'doubt'
