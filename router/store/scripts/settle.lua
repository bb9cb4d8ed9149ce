#!lua flags=allow-oom
-- Ends an attempt, and hands over the lane's next head if it can be sent now. Safe to repeat with the same tokens.
--include clock
--include lane
--include lane_end
--
-- KEYS 1 message hash   2 lane list   3 dead zset
-- ARGV 1 token of the lease   2 round   3 outcome: delivered | undelivered | unrouted | retry | release
--      4 delay in ms (retry, release)   5 lease in ms for the next head, 0 to hand nothing over
--      6 token for the next head   7 retention in ms   8 lane id   9 message id
--      10 ms since the caller last heard from the store (clock.lua)
--      11 a line for the message's history, '' for none   12… field value … written with the outcome
--
-- Returns {next, now, flow, its record, entry} (as in lane.lua) | {done, now} | {late, now} | {stale, now}
local message, lane, dead = KEYS[1], KEYS[2], KEYS[3]
local token, round, outcome = ARGV[1], ARGV[2], ARGV[3]
local delay, lease, next_token, retention = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local lane_id, id = ARGV[8], ARGV[9]
local now, lease_now = clocks(tag, tonumber(ARGV[10]))

-- Reads a head that may be handed over: its fields (read_head), its flow's record, and when the flow was resumed.
local function read_next(head)
  local h = read_head(head)
  local set = set_of(head, h[2])
  return h, redis.call('GET', flows .. set) or '', redis.call('GET', 'resumed:' .. tag .. ':' .. set)
end

local m = redis.call('HMGET', message, 'lease', 'round', 'state', 'settled', 'late', 'flow', 'history', 'said')
local holder, state, settled, flow = m[1], m[3], m[4], m[6]

-- The fields and values written with the outcome. If the message has `ended`, 'lost' and the error of a delivered one
-- are left out.
local function fields(ended)
  local out = {}
  if ARGV[11] ~= '' then
    -- The newest 4,000 bytes: about forty attempts, which is a day of refusals.
    out = {'history', m[7] and string.sub(m[7] .. '\n' .. ARGV[11], -4000) or ARGV[11]}
  end
  for i = 12, #ARGV, 2 do
    local left_out = ended and (ARGV[i] == 'lost' or (ARGV[i] == 'error' and outcome == 'delivered'))
    if not left_out then out[#out + 1], out[#out + 2] = ARGV[i], ARGV[i + 1] end
  end
  return out
end
local function write_fields()
  local out = fields()
  if out[1] then redis.call('HSET', message, unpack(out)) end
end

-- The reply to a call that was made before with the same tokens: its reply was lost.
local function repeated()
  local head = redis.call('LINDEX', lane, 0)
  if not head or redis.call('HGET', messages .. head, 'lease') ~= next_token then return {'done', now} end
  local h, record, resumed = read_next(head)
  redis.call('ZADD', leases, lease_now + lease, lane_id) -- the holder counts its lease from before this call
  return {'next', now, h[2] or '', record, entry(head, lane_id, h, tonumber(h[7] or 0), resumed)}
end

-- Records that a message was delivered by an attempt that had lost its lease. Returns the reply; nil if the message
-- waits at the head of its lane, so that it has yet to be ended.
local function deliver_late()
  if state == 'undelivered' then -- given up too early: a late success still counts
    if redis.call('HEXISTS', message, 'raw') == 1 then write_fields() end -- not to one that has been erased
    redis.call('HSET', message, 'state', 'delivered')
    redis.call('HDEL', message, 'error')
    redis.call('ZREM', dead, id)
  elseif state == 'sending' then -- it is being sent again: whatever that attempt reports, the message is delivered
    write_fields()
    redis.call('HSET', message, 'late', 1)
  elseif state == 'held' then -- it is in no lane, and need not be sent again
    write_fields()
    unhold(id)
    finish(id, 'delivered', token, now, retention)
  elseif redis.call('LINDEX', lane, 0) ~= id then
    return {'stale', now}
  else -- it waits to be sent again, which is no longer needed
    leave(lane_id, set_of(id, flow))
    return nil
  end
  return {'late', now}
end

if not state or (m[2] or '0') ~= round then return {'stale', now} end
if holder == token then
  if m[5] then outcome = 'delivered' end
  redis.call('ZREM', leases, lane_id)
elseif settled == token then
  return repeated()
elseif outcome ~= 'delivered' or state == 'delivered' then
  return {'stale', now}
else
  local reply = deliver_late()
  if reply then return reply end
  lease = 0 -- this caller has no slot for the next head
end

if outcome == 'retry' or outcome == 'release' then
  local obsolete = {'lease', 'late', 'lost'}
  if outcome == 'retry' then obsolete[4] = 'said' end -- the target's last answer; a released message was not sent
  redis.call('HDEL', message, unpack(obsolete))
  redis.call('HSET', message, 'settled', token, 'state', 'queued', unpack(fields()))
  if outcome == 'release' then redis.call('HINCRBY', message, 'attempts', -1) end
  wait(lane_id, now + delay)
  return {'done', now}
end
if m[8] then redis.call('HDEL', message, 'said') end
local head = done(lane_id, id, outcome, token, now, retention, unpack(fields(true)))
if not head then return {'done', now} end
if lease > 0 then
  local h, record, resumed = read_next(head)
  -- If its flow is paused, its record is gone, or the replicas have not confirmed it, the head waits.
  if h[1] and tonumber(h[3] or 0) <= now and not string.find(record, '^%S+ 1 ') then
    return {'next', now, h[2] or '', record, lend(head, lane_id, next_token, lease_now + lease, h, resumed)}
  end
end
wait(lane_id, now)
return {'done', now}
