#!lua flags=allow-oom
-- Leases the heads of lanes that are due. Never repeated: what a lost reply leased comes due again with its lease.
--
-- KEYS 1 due   zset   every non-empty lane of the bucket -> ms at which its head may be claimed
-- ARGV 1 token   2 limit: leases wanted at most   3 lease in ms   4 lost limit   5 retention in ms of the buried
--      6 prefix of message keys   7 of lanes   8 of dead indexes   9 of flow records
--      10 lanes looked at, at most
--      11… what has no room now (breaker open, share full): "<AccountSid> <target>", or "<target>" for every account
-- An id is <AccountSid>:<MessageSid>; a flow record is "<target> <paused 0|1> <validity in s> <json>".
--
-- Returns {now, number of lanes still due, entry, entry, …}, an entry being
--   {id, lane id, raw, flow sid, since, attempts, failures, refusals, round, replayed answer right,
--    language, flow record or ''}
local due = KEYS[1]
local token, limit, lease, max_lost, retention =
  ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local messages, lanes, deads, flows = ARGV[6], ARGV[7], ARGV[8], ARGV[9]
local looks = tonumber(ARGV[10])
local queued = 'queued' .. string.sub(due, 4) -- hash: how many messages of each account are not done yet
local full = {}
for i = 11, #ARGV do full[ARGV[i]] = true end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local waiting = redis.call('ZCOUNT', due, '-inf', now)
-- A lane that cannot go now is looked at again after a second or two; later when there are so many of them
-- that looking would cost more than a few percent of the store (2,000 lanes a second).
local pause = 1000 + math.floor(waiting / 2)
local out = {now, waiting}

for _, lane_id in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, looks)) do
  if #out - 2 >= limit then break end
  local lane = lanes .. lane_id
  local held = 0 -- what waited behind a paused head was held as long
  while true do
    local id = redis.call('LINDEX', lane, 0)
    if not id then redis.call('ZREM', due, lane_id); break end
    local message = messages .. id
    if held > tonumber(redis.call('HGET', message, 'held') or 0) then redis.call('HSET', message, 'held', held) end
    local m = redis.call('HMGET', message, 'state', 'lease', 'late', 'flow', 'at', 'held')
    local lost = 0
    held = math.max(held, tonumber(m[6] or 0))
    if m[2] and not m[3] then lost = redis.call('HINCRBY', message, 'lost', 1) end -- its holder vanished
    if not m[1] then
      redis.call('LPOP', lane) -- its record is gone: nothing to send
      redis.call('HINCRBY', queued, string.sub(id, 1, 34), -1)
    elseif m[3] or lost >= max_lost then
      redis.call('LPOP', lane)
      redis.call('HINCRBY', queued, string.sub(id, 1, 34), -1)
      redis.call('HDEL', message, 'lease', 'late', 'lost')
      redis.call('HSET', message, 'state', m[3] and 'delivered' or 'undelivered', 'settled', token)
      redis.call('PEXPIRE', message, retention)
      if not m[3] then
        redis.call('HSET', message, 'error', 'The process that was sending it vanished ' .. lost .. ' times')
        redis.call('ZADD', deads .. string.sub(id, 1, 34), now, id)
      end
    else
      local record = redis.call('GET', flows .. string.sub(id, 1, 34) .. ':' .. (m[4] or '')) or ''
      local target, paused, validity = string.match(record, '^(%S+) (%d) (%d+) ')
      local since = math.max(tonumber(m[5]), tonumber(m[6] or 0))
      if paused == '1' then
        if m[2] then redis.call('HDEL', message, 'lease'); redis.call('HSET', message, 'state', 'queued') end
        redis.call('HSET', message, 'held', now) -- waiting for the operator does not count as age
        redis.call('ZADD', due, now + pause, lane_id)
        break
      elseif target and (full[target] or full[string.sub(id, 1, 34) .. ' ' .. target])
        and now - since < validity * 1000 then
        if m[2] then redis.call('HDEL', message, 'lease'); redis.call('HSET', message, 'state', 'queued') end
        redis.call('ZADD', due, now + pause, lane_id)
        break
      end
      redis.call('HSET', message, 'state', 'sending', 'lease', token)
      local attempts = redis.call('HINCRBY', message, 'attempts', 1)
      redis.call('ZADD', due, now + lease, lane_id)
      local f = redis.call('HMGET', message, 'raw', 'failures', 'refusals', 'round', 'answered', 'language')
      out[#out + 1] = {id, lane_id, f[1], m[4] or '', since, attempts, f[2] or '0', f[3] or '0', f[4] or '0',
        f[5] or '', f[6] or '', record}
      break
    end
  end
end
return out
