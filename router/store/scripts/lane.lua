-- Included by the scripts that change lanes: the keys of the lanes, and where a lane waits (docs/lanes.md).
--
--   message:{b}:<id>        hash    a message, its id being <AccountSid>:<MessageSid>: facts and state
--   lane:{b}:<lane>         list    ids of a conversation's messages not done yet, oldest first
--   leases:{b}              zset    lanes whose head is being sent -> ms of the lease clock at which the lease ends
--   due:{b}:<AC>:<FO>       zset    lanes whose head waits for that flow -> ms of the due clock at which it may be sent
--   due:{b}                 zset    the index: <AC>:<FO> of each due set -> the smallest ms in it
--   queued:{b}              hash    AccountSid -> how many messages are not done yet, held ones included
--   held:{b}:<AC>           zset    held messages of the account, which are in no lane -> TIME in ms since when
--   dead:{b}:<AC>           zset    undelivered and unrouted messages of the account -> ms
--   flow:{b}:<AC>:<FO>      string  "<target> <paused 0|1> <validity in s> <json>"
--   resumed:{b}:<AC>:<FO>   string  ms at which the flow was resumed last, as long as that can matter
--
-- A lane that is not empty is in exactly one set: `leases`, or the due set of its head's flow. A message has a lease if
-- and only if its lane is in `leases` and it is the head.
local tag = string.match(KEYS[1], '{[^}]*}')
local messages, lanes, flows = 'message:' .. tag .. ':', 'lane:' .. tag .. ':', 'flow:' .. tag .. ':'
local leases, due, queued, holds = 'leases:' .. tag, 'due:' .. tag, 'queued:' .. tag, 'held:' .. tag .. ':'

local function account_of(id) return string.sub(id, 1, 34) end
local function set_of(id, flow) return account_of(id) .. ':' .. (flow or '') end

-- Reads the beginning of a flow's record: its target, '1' if it is paused, its ValidityPeriod in ms. A deleted or
-- disabled flow has the target 'none': its messages end as unrouted.
local function flow_of(set)
  local record = redis.call('GETRANGE', flows .. set, 0, 511)
  if #record == 512 and not string.find(record, '^%S+ %d %d+ ') then record = redis.call('GET', flows .. set) end
  local target, paused, validity = string.match(record, '^(%S+) (%d) (%d+) ')
  return target or 'none', paused, tonumber(validity or 0) * 1000
end

-- Puts a lane that is in no set into a due set, and updates the index.
local function enter(lane_id, set, at)
  redis.call('ZADD', due .. ':' .. set, at, lane_id)
  redis.call('ZADD', due, 'LT', at, set)
end

-- Updates the index after a lane has left a due set.
local function refresh(set)
  local first = redis.call('ZRANGE', due .. ':' .. set, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', due, first[2], set) else redis.call('ZREM', due, set) end
end

-- Removes the head of a lane: it is done, or its record is gone.
local function pop(lane_id, id)
  redis.call('LPOP', lanes .. lane_id)
  redis.call('HINCRBY', queued, account_of(id), -1)
end

-- Removes a lane from a due set.
local function leave(lane_id, set)
  redis.call('ZREM', due .. ':' .. set, lane_id)
  refresh(set)
end

-- Puts a lane that is in no set into its head's due set: due at `at`, or, if the head is unconfirmed, not before it may
-- be sent without the replicas' confirmation. An empty lane stays in no set.
local function wait(lane_id, at)
  local id = redis.call('LINDEX', lanes .. lane_id, 0)
  while id do
    local m = redis.call('HMGET', messages .. id, 'state', 'flow', 'unconfirmed')
    if m[1] then
      return enter(lane_id, set_of(id, m[2]), math.max(at, tonumber(m[3] or 0)))
    end
    pop(lane_id, id)
    id = redis.call('LINDEX', lanes .. lane_id, 0)
  end
end

-- The ms from which a message's age counts. The time of a pause does not count, be it of its own flow or of the flow of
-- a message before it in its lane.
local function since(at, held, resumed)
  return math.max(tonumber(at), tonumber(held or 0), tonumber(resumed or 0))
end

-- Reads the fields of a head that is to be leased: state, flow, unconfirmed, then those that its holder needs.
local function read_head(id)
  return redis.call('HMGET', messages .. id, 'state', 'flow', 'unconfirmed', 'raw', 'at', 'held', 'attempts', 'failures',
    'refusals', 'round', 'answered', 'language', 'lost')
end

-- Returns what a head's holder needs: the message, and the results of earlier attempts. `h` is the result of read_head.
local function entry(id, lane_id, h, attempts, resumed)
  return {id, lane_id, h[4] or '', since(h[5], h[6], resumed), attempts, tonumber(h[8] or 0), tonumber(h[9] or 0),
    tonumber(h[10] or 0), h[11] or '', h[12] or '', tonumber(h[13] or 0), tonumber(h[5] or 0)}
end

-- Leases a head that is in no set, and returns its entry.
local function lend(id, lane_id, token, ends, h, resumed)
  local attempts = tonumber(h[7] or 0) + 1
  redis.call('HSET', messages .. id, 'state', 'sending', 'lease', token, 'attempts', attempts)
  if h[3] then redis.call('HDEL', messages .. id, 'unconfirmed') end -- it may now be sent without confirmation
  redis.call('ZADD', leases, ends, lane_id)
  return entry(id, lane_id, h, attempts, resumed)
end
