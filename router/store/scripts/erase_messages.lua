#!lua flags=allow-oom
-- Erases content and addresses of messages that are done. Their outcome, and the fields that detect duplicates, stay
-- until they expire.
--
-- KEYS 1 dead      zset   undelivered and unrouted messages of the account -> ms; erased ones leave it
--      2… message  hash
-- ARGV 1… their ids
--
-- Returns, for each message, 1 if its content is gone, 0 if it is not done yet
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
