#!lua
-- Puts an inbound message at the end of its conversation's lane, once.
--
-- Besides its keys it writes queued:{b}, a hash: how many messages of each account are not done yet.
--
-- KEYS 1 message  hash    the message: facts (raw, lane, flow, why, at, token) and state
--      2 lane     list    ids of the conversation's messages not done yet, oldest first
--      3 due      zset    every non-empty lane of the bucket -> ms at which its head may be claimed
--      4 log      zset    every message of the account -> ms of its acceptance
--      5 dead     zset    undelivered and unrouted messages of the account -> ms
--      6…         hash    the address entries that the route came from, as many as there are versions
-- ARGV 1 token        random, made by the caller; the same when the caller repeats a call whose reply was lost
--      2 disposition  queue | unrouted | redirected
--      3 lane id   4 message id   5 lease in ms, 0 for none   6 retention in ms (unrouted, redirected)
--      7 number of versions, then the versions ("" for "no such entry")
--      …              field value field value … written once
--
-- Returns {leased, now} | {accepted, now, state of the lane's head} | {stale}
--       | {duplicate, now, state, answer, answered, flow, state of the lane's head}
local message, lane, due, log, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local token, disposition, lane_id, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease, retention, versions = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local order = time[1] * 1000 + time[2] / 1000 -- with microseconds: the order of acceptance within a millisecond

local function head_state()
  local head = redis.call('LINDEX', lane, 0)
  if not head then return '' end
  local prefix = string.sub(message, 1, #message - #id)
  return redis.call('HGET', prefix .. head, 'state') or ''
end

local seen = redis.call('HMGET', message, 'state', 'token', 'lease', 'answer', 'answered', 'flow')
if seen[1] then
  if seen[2] == token then
    -- A write, so that WAIT on a new connection speaks for the message itself (ROUTER_REDIS_REPLICAS).
    redis.call('HSET', message, 'token', token)
    return {seen[3] == token and 'leased' or 'accepted', now, head_state()}
  end
  redis.call('HINCRBY', message, 'duplicates', 1)
  return {'duplicate', now, seen[1], seen[4] or '', seen[5] or '', seen[6] or '', head_state()}
end
for i = 1, versions do
  if (redis.call('HGET', KEYS[5 + i], 'version') or '') ~= ARGV[7 + i] then return {'stale', now} end
end

redis.call('HSET', message, 'token', token, 'lane', lane_id, 'at', now, unpack(ARGV, 8 + versions))
redis.call('ZADD', log, order, id)
if disposition ~= 'queue' then
  redis.call('HSET', message, 'state', disposition)
  redis.call('PEXPIRE', message, retention)
  if disposition == 'unrouted' then redis.call('ZADD', dead, order, id) end
  return {'accepted', now, ''}
end
redis.call('HINCRBY', 'queued' .. string.sub(due, 4), string.sub(id, 1, 34), 1)
if redis.call('RPUSH', lane, id) == 1 then
  if lease > 0 then
    redis.call('HSET', message, 'state', 'sending', 'lease', token, 'attempts', 1)
    redis.call('ZADD', due, now + lease, lane_id)
    return {'leased', now, 'sending'}
  end
  redis.call('ZADD', due, now, lane_id)
  redis.call('HSET', message, 'state', 'queued')
  return {'accepted', now, 'queued'}
end
redis.call('HSET', message, 'state', 'queued')
return {'accepted', now, head_state()}
