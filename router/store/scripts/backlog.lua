#!lua flags=no-writes
-- Counts the lanes of some due sets.
--include clock
--
-- KEYS 1 due:{b}   zset   <AC>:<FO> -> ms at which the first lane of that flow's due set comes due
-- ARGV 1 place in it to begin at   2 how many due sets
--
-- Returns {how many due sets there were, lanes in them, those that are due and whose flow is not paused, the ms for which
-- the first of these has been due, its due set or ''}
local flows = 'flow' .. string.sub(KEYS[1], 4) .. ':'
local now = clocks_read(string.sub(KEYS[1], 5))
local sets = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local out = {#sets / 2, 0, 0, 0, ''}
for i = 1, #sets, 2 do
  local key, first = KEYS[1] .. ':' .. sets[i], tonumber(sets[i + 1])
  out[2] = out[2] + redis.call('ZCARD', key)
  if first <= now and not string.find(redis.call('GETRANGE', flows .. sets[i], 0, 511), '^%S+ 1 ') then
    out[3] = out[3] + redis.call('ZCOUNT', key, '-inf', now)
    if out[4] == 0 then out[4], out[5] = now - first, sets[i] end
  end
end
return out
