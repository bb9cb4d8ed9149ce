-- Included by the scripts that change lanes: the keys of the lanes, and where a lane waits (docs/lanes.md).
--
--   message:{b}:<id>        hash    a message, its id being <AccountSid>:<MessageSid>: facts and state
--   lane:{b}:<lane>         list    ids of a conversation's messages not done yet, oldest first
--   leases:{b}              zset    lanes whose head is being sent -> ms of the lease clock at which the lease ends
--   due:{b}:<AC>:<FO>       zset    lanes whose head waits for that flow -> ms of the due clock at which it may be sent
--   due:{b}                 zset    <AC>:<FO>, for each of those that there are -> the smallest ms in it
--   queued:{b}              hash    AccountSid -> how many messages are not done yet, held ones included
--   held:{b}:<AC>           zset    messages of the account that are held, and so in no lane -> ms by TIME, since when
--   dead:{b}:<AC>           zset    undelivered and unrouted messages of the account -> ms
--   flow:{b}:<AC>:<FO>      string  "<target> <paused 0|1> <validity in s> <json>"
--   resumed:{b}:<AC>:<FO>   string  ms at which the flow was resumed last, as long as that can matter
--
-- A lane that is not empty is in `leases` or in the due set of its head's flow, in one of them only. A message has a
-- lease if and only if its lane is in `leases` and it is the head.
local tag = string.match(KEYS[1], '{[^}]*}')
local messages, lanes, flows = 'message:' .. tag .. ':', 'lane:' .. tag .. ':', 'flow:' .. tag .. ':'
local leases, due, queued, holds = 'leases:' .. tag, 'due:' .. tag, 'queued:' .. tag, 'held:' .. tag .. ':'
local ACTIONS = 4000 -- bytes kept of what people did to a message

local function account_of(id) return string.sub(id, 1, 34) end
local function set_of(id, flow) return account_of(id) .. ':' .. (flow or '') end

-- The beginning of a flow's record: its target, '1' if it is paused, its ValidityPeriod in ms. A flow that is gone, or
-- disabled, has no target: its messages end as unrouted.
local function flow_of(set)
  local record = redis.call('GETRANGE', flows .. set, 0, 511)
  if #record == 512 and not string.find(record, '^%S+ %d %d+ ') then record = redis.call('GET', flows .. set) end
  local target, paused, validity = string.match(record, '^(%S+) (%d) (%d+) ')
  return target or 'none', paused, tonumber(validity or 0) * 1000
end

-- Writes into the index when the first lane of a due set comes due.
local function refresh(set)
  local first = redis.call('ZRANGE', due .. ':' .. set, 0, 0, 'WITHSCORES')
  if first[2] then redis.call('ZADD', due, first[2], set) else redis.call('ZREM', due, set) end
end

-- Takes a message off its lane's head: it is done, or nothing is left of it.
local function pop(lane_id, id)
  redis.call('LPOP', lanes .. lane_id)
  redis.call('HINCRBY', queued, account_of(id), -1)
end

-- Takes a lane out of a due set.
local function leave(lane_id, set)
  redis.call('ZREM', due .. ':' .. set, lane_id)
  refresh(set)
end

-- Puts a lane that is in no set into its due set: due at `at`, or, for an unconfirmed head, when it may be sent without
-- the replicas' confirmation. An empty lane is in no set.
local function wait(lane_id, at)
  local id = redis.call('LINDEX', lanes .. lane_id, 0)
  while id do
    local m = redis.call('HMGET', messages .. id, 'state', 'flow', 'unconfirmed')
    if m[1] then
      local set = set_of(id, m[2])
      redis.call('ZADD', due .. ':' .. set, math.max(at, tonumber(m[3] or 0)), lane_id)
      return refresh(set)
    end
    pop(lane_id, id)
    id = redis.call('LINDEX', lanes .. lane_id, 0)
  end
end

-- The ms from which a message's age counts: the time that its flow, or one before it in its lane, was paused does not.
local function since(at, held, resumed)
  return math.max(tonumber(at), tonumber(held or 0), tonumber(resumed or 0))
end

-- Lets the head that follows on a message be held as long as that was.
local function hold_on(lane_id, id)
  local head = redis.call('LINDEX', lanes .. lane_id, 0)
  if not head then return end
  local m = redis.call('HMGET', messages .. id, 'at', 'held', 'flow')
  local resumed = redis.call('GET', 'resumed:' .. tag .. ':' .. set_of(id, m[3]))
  if not (m[1] and (m[2] or resumed)) then return end
  local held, follows = since(m[1], m[2], resumed), redis.call('HMGET', messages .. head, 'at', 'held')
  if follows[1] and held > tonumber(m[1]) and held > since(follows[1], follows[2]) then
    redis.call('HSET', messages .. head, 'held', held)
  end
end

-- Ends a message that is in no lane, and keeps it for so many ms.
local function finish(id, state, settled, now, retention)
  local message = messages .. id
  redis.call('HDEL', message, 'lease', 'late', 'lost')
  redis.call('HSET', message, 'state', state, 'settled', settled)
  redis.call('PEXPIRE', message, retention)
  if state == 'delivered' then redis.call('HDEL', message, 'error')
  else redis.call('ZADD', 'dead:' .. tag .. ':' .. account_of(id), now, id) end
end

-- Takes a held message, which is done now, out of the account's figures.
local function unhold(id)
  redis.call('HINCRBY', queued, account_of(id), -1)
  redis.call('ZREM', holds .. account_of(id), id)
end

local function wall_ms()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Writes into a message's record what a person did to it, who, and when; the oldest lines make room. '' is no person.
local function note_action(id, what, by)
  if by == '' then return end
  local lines = redis.call('HGET', messages .. id, 'actions') or ''
  while #lines > ACTIONS do lines = string.match(lines, '\n(.*)') or '' end
  local line = wall_ms() .. ' ' .. what .. ' ' .. by
  redis.call('HSET', messages .. id, 'actions', lines == '' and line or lines .. '\n' .. line)
end

-- Puts a message that is done back at the tail of its lane, as a new round; other fields are those of another flow.
local function put_back(lane_id, id, now, by, ...)
  local message = messages .. id
  redis.call('PERSIST', message)
  redis.call('HDEL', message, 'settled', 'answer', 'error', 'late', 'lost', 'lease', 'failures', 'refusals', 'said',
    'doubt')
  redis.call('HSET', message, 'state', 'queued', 'attempts', 0, 'held', now, ...)
  redis.call('HINCRBY', message, 'round', 1)
  redis.call('ZREM', 'dead:' .. tag .. ':' .. account_of(id), id)
  redis.call('HINCRBY', queued, account_of(id), 1)
  note_action(id, 'replayed', by)
  if redis.call('RPUSH', lanes .. lane_id, id) == 1 then wait(lane_id, now) end
end

-- Ends a message as its lane's head; what delivers it is no lane's matter any more.
local function done(lane_id, id, state, settled, now, retention)
  pop(lane_id, id)
  hold_on(lane_id, id)
  finish(id, state, settled, now, retention)
end

-- Takes a message that is not being sent out of its lane, wherever in it the message is. What waited behind it goes on.
local function take_out(lane_id, id, flow, now)
  local first, set = redis.call('LINDEX', lanes .. lane_id, 0) == id, set_of(id, flow)
  if first then leave(lane_id, set) end
  redis.call('HINCRBY', queued, account_of(id), -redis.call('LREM', lanes .. lane_id, 1, id))
  if not first then return end
  hold_on(lane_id, id)
  local head, _, paused = redis.call('LINDEX', lanes .. lane_id, 0), flow_of(set)
  if head and paused == '1' then redis.call('HSET', messages .. head, 'held', now) end
  wait(lane_id, now)
end

-- What the holder of a head needs of it: what is sent, and what came of it so far.
local function entry(id, lane_id, resumed)
  local f = redis.call('HMGET', messages .. id, 'raw', 'at', 'held', 'attempts', 'failures', 'refusals', 'round',
    'answered', 'language', 'lost')
  return {id, lane_id, f[1] or '', since(f[2], f[3], resumed), tonumber(f[4] or 0), tonumber(f[5] or 0),
    tonumber(f[6] or 0), tonumber(f[7] or 0), f[8] or '', f[9] or '', tonumber(f[10] or 0), tonumber(f[2] or 0)}
end

-- Leases a head that is in no set.
local function lend(id, lane_id, token, ends)
  redis.call('HSET', messages .. id, 'state', 'sending', 'lease', token)
  redis.call('HINCRBY', messages .. id, 'attempts', 1)
  redis.call('ZADD', leases, ends, lane_id)
end
