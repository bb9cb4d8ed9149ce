-- Included by the scripts with which people act on messages: hold, release, cancel, hurry, replay.
local ACTIONS = 4000 -- bytes kept of a message's list of actions

local function wall_ms()
  local time = redis.call('TIME')
  return string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
end

-- Appends a person's action to the message's record: when, what, who. The oldest lines are dropped. Without a person
-- (''), nothing is written.
local function note_action(id, what, by)
  if by == '' then return end
  local lines = redis.call('HGET', messages .. id, 'actions') or ''
  while #lines > ACTIONS do lines = string.match(lines, '\n(.*)') or '' end
  local line = wall_ms() .. ' ' .. what .. ' ' .. by
  redis.call('HSET', messages .. id, 'actions', lines == '' and line or lines .. '\n' .. line)
end

-- Puts a message that is done back at the tail of its lane, as a new round. The further arguments are fields and values
-- that are written with it.
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
