#!lua flags=allow-oom
-- Ends an attempt, and hands over the lane's next head when it can be sent now. Safe to repeat with the same tokens.
--
-- KEYS 1 message hash   2 lane list   3 due zset   4 dead zset   5 log zset (not read; the same slot)
-- ARGV 1 token of the lease   2 round   3 outcome: delivered | undelivered | unrouted | retry | release
--      4 delay in ms (retry, release)   5 lease in ms for the next head, 0 to hand nothing over
--      6 token for the next head   7 retention in ms   8 lane id   9 message id
--      10 prefix of message keys   11 prefix of flow records
--      12 a line for the message's history, '' for none   13… field value … written with the outcome
--
-- Returns {next, now, entry} (as in claim.lua) | {done, now} | {late, now} | {stale, now}
local message, lane, due, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, round, outcome = ARGV[1], ARGV[2], ARGV[3]
local delay, lease, next_token, retention = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
local lane_id, id, messages, flows = ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function entry(head, f, record)
  return {head, lane_id, f[1], f[2] or '', math.max(tonumber(f[3]), tonumber(f[4] or 0)), tonumber(f[5] or 0),
    f[6] or '0', f[7] or '0', f[8] or '0', f[9] or '', f[10] or '', record}
end
local function facts(head)
  local f = redis.call('HMGET', messages .. head, 'raw', 'flow', 'at', 'held', 'attempts', 'failures', 'refusals',
    'round', 'answered', 'language')
  return f, redis.call('GET', flows .. string.sub(head, 1, 34) .. ':' .. (f[2] or '')) or ''
end
local function write_fields()
  if ARGV[12] ~= '' then
    local history = redis.call('HGET', message, 'history')
    -- The newest 4,000 bytes: some forty attempts, which is a day of refusals.
    history = history and string.sub(history .. '\n' .. ARGV[12], -4000) or ARGV[12]
    redis.call('HSET', message, 'history', history, unpack(ARGV, 13))
  elseif #ARGV > 12 then
    redis.call('HSET', message, unpack(ARGV, 13))
  end
end

local m = redis.call('HMGET', message, 'lease', 'round', 'state', 'settled', 'late')
if not m[3] or (m[2] or '0') ~= round then return {'stale', now} end
if m[1] ~= token then
  if m[4] == token then -- our own call once more: its answer was lost
    local head = redis.call('LINDEX', lane, 0)
    if head and redis.call('HGET', messages .. head, 'lease') == next_token then
      redis.call('ZADD', due, now + lease, lane_id) -- the holder counts its lease from before this call
      local f, record = facts(head)
      return {'next', now, entry(head, f, record)}
    end
    return {'done', now}
  end
  if outcome ~= 'delivered' or m[3] == 'delivered' then return {'stale', now} end
  if m[3] == 'undelivered' then -- given up too early: a late success still counts
    if redis.call('HEXISTS', message, 'raw') == 1 then write_fields() end -- not to one that was erased meanwhile
    redis.call('HSET', message, 'state', 'delivered')
    redis.call('HDEL', message, 'error')
    redis.call('ZREM', dead, id)
    return {'late', now}
  end
  if m[3] == 'sending' then -- somebody is sending it again: whatever they report, it is delivered
    write_fields()
    redis.call('HSET', message, 'late', 1)
    return {'late', now}
  end
  if redis.call('LINDEX', lane, 0) ~= id then return {'stale', now} end
  lease = 0 -- it waits for a retry that is no longer needed: pop, hand nothing over
elseif m[5] then
  outcome = 'delivered'
end

redis.call('HDEL', message, 'lease', 'late', 'lost')
write_fields()
redis.call('HSET', message, 'settled', token)
if outcome == 'retry' or outcome == 'release' then
  redis.call('HSET', message, 'state', 'queued')
  if outcome == 'release' then redis.call('HINCRBY', message, 'attempts', -1) end
  redis.call('ZADD', due, now + delay, lane_id)
  return {'done', now}
end
redis.call('LPOP', lane)
redis.call('HINCRBY', 'queued' .. string.sub(due, 4), string.sub(id, 1, 34), -1)
redis.call('HSET', message, 'state', outcome)
redis.call('PEXPIRE', message, retention)
if outcome == 'delivered' then redis.call('HDEL', message, 'error') else redis.call('ZADD', dead, now, id) end

local head = redis.call('LINDEX', lane, 0)
if not head then redis.call('ZREM', due, lane_id); return {'done', now} end
local held = redis.call('HGET', message, 'held') -- what waited behind a paused head was held as long
if held and tonumber(held) > tonumber(redis.call('HGET', messages .. head, 'held') or 0) then
  redis.call('HSET', messages .. head, 'held', held)
end
if lease > 0 then
  local f, record = facts(head)
  if f[1] and not string.find(record, '^%S+ 1 ') then -- a paused flow's head waits for claim to look at it
    redis.call('HSET', messages .. head, 'state', 'sending', 'lease', next_token)
    f[5] = redis.call('HINCRBY', messages .. head, 'attempts', 1)
    redis.call('ZADD', due, now + lease, lane_id)
    return {'next', now, entry(head, f, record)}
  end
end
redis.call('ZADD', due, now, lane_id)
return {'done', now}
