#!lua flags=no-writes
-- Counts the lanes of some due sets.
--include clock
--
-- KEYS 1 due:{b}   zset   <AC>:<FO> -> ms at which the first lane of that flow's due set is due
-- ARGV 1 place in it to begin at   2 how many due sets
--
-- Returns {number of due sets read, lanes in them, lanes that are due and whose flow is not paused,
--   due set, ms for which its first lane has been due, …: for each account the one that has waited longest}
local flows = 'flow' .. string.sub(KEYS[1], 4) .. ':'
local now = clocks_read(string.sub(KEYS[1], 5))
local sets = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local out, accounts = {#sets / 2, 0, 0}, {}
for i = 1, #sets, 2 do
  local key, first = KEYS[1] .. ':' .. sets[i], tonumber(sets[i + 1])
  out[2] = out[2] + redis.call('ZCARD', key)
  if first <= now and not string.find(redis.call('GETRANGE', flows .. sets[i], 0, 511), '^%S+ 1 ') then
    out[3] = out[3] + redis.call('ZCOUNT', key, '-inf', now)
    local account = string.sub(sets[i], 1, 34)
    if not accounts[account] then -- the sets are sorted by the time of their first lane
      accounts[account] = true
      out[#out + 1], out[#out + 2] = sets[i], now - first
    end
  end
end
return out
