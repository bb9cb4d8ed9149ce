-- Included by the scripts that end messages or take them out of their lanes: updates lane, account and record.

-- Copies a pause from a message to the next head, which waited behind it: it does not count for the age of either.
local function pass_on_pause(id, head)
  local m = redis.call('HMGET', messages .. id, 'at', 'held', 'flow')
  local resumed = redis.call('GET', 'resumed:' .. tag .. ':' .. set_of(id, m[3]))
  if not (m[1] and (m[2] or resumed)) then return end
  local held, follows = since(m[1], m[2], resumed), redis.call('HMGET', messages .. head, 'at', 'held')
  if follows[1] and held > tonumber(m[1]) and held > since(follows[1], follows[2]) then
    redis.call('HSET', messages .. head, 'held', held)
  end
end

-- Ends a message that is in no lane, and keeps it for `retention` ms. The further arguments are fields and values that
-- are written with it.
local function finish(id, state, settled, now, retention, ...)
  local message, delivered = messages .. id, state == 'delivered'
  local obsolete = {'lease', 'late', 'lost'}
  if delivered then obsolete[4] = 'error' end
  redis.call('HDEL', message, unpack(obsolete))
  redis.call('HSET', message, 'state', state, 'settled', settled, ...)
  redis.call('PEXPIRE', message, retention)
  if not delivered then redis.call('ZADD', 'dead:' .. tag .. ':' .. account_of(id), now, id) end
end

-- Ends a message that is its lane's head, and returns the next head.
local function done(lane_id, id, state, settled, now, retention, ...)
  pop(lane_id, id)
  local head = redis.call('LINDEX', lanes .. lane_id, 0)
  if head then pass_on_pause(id, head) end
  finish(id, state, settled, now, retention, ...)
  return head
end

-- Removes a held message from the account's counts and list.
local function unhold(id)
  redis.call('HINCRBY', queued, account_of(id), -1)
  redis.call('ZREM', holds .. account_of(id), id)
end

-- Removes a message that is not being sent from its lane, at any place in it.
local function take_out(lane_id, id, flow, now)
  local first, set = redis.call('LINDEX', lanes .. lane_id, 0) == id, set_of(id, flow)
  if first then leave(lane_id, set) end
  redis.call('HINCRBY', queued, account_of(id), -redis.call('LREM', lanes .. lane_id, 1, id))
  if not first then return end
  local head, _, paused = redis.call('LINDEX', lanes .. lane_id, 0), flow_of(set)
  if not head then return end
  pass_on_pause(id, head)
  if paused == '1' then redis.call('HSET', messages .. head, 'held', now) end
  wait(lane_id, now)
end
