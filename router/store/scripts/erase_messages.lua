#!lua flags=allow-oom
-- Takes from messages that are done what was said in them, and by whom. What knows a duplicate stays until they expire,
-- and what became of them.
--
-- KEYS 1 dead      zset   undelivered and unrouted messages of the account -> ms; these cannot be sent again
--      2… message  hash
-- ARGV 1… their ids
--
-- Returns, for each message, 1 when nothing of it is left, 0 when it is not done yet
local kept = {}
for _, name in ipairs({'state', 'token', 'settled', 'at', 'flow', 'attempts', 'round', 'duplicates', 'answered',
  'recovered'}) do kept[name] = true end

local out = {}
for i, id in ipairs(ARGV) do
  local message = KEYS[i + 1]
  local state = redis.call('HGET', message, 'state')
  out[i] = (state == 'queued' or state == 'held' or state == 'sending') and 0 or 1
  if state and out[i] == 1 then
    for _, name in ipairs(redis.call('HKEYS', message)) do
      if not kept[name] then redis.call('HDEL', message, name) end
    end
    redis.call('HSET', message, 'why', 'Erased on request')
    redis.call('ZREM', KEYS[1], id)
  end
end
return out
