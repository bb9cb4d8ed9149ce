#!lua
-- Returns the keys that sign visitors' tokens, the newest first, and adds a new one if the newest is too old.
--
-- KEYS 1 chat_keys   list   "<ms of its creation> <key>"
-- ARGV 1 a new key, added if needed   2 ms after which a key is replaced
--
-- Returns the list
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = redis.call('LINDEX', KEYS[1], 0)
local made = newest and tonumber(string.match(newest, '^%d+'))
if not made or now - made > tonumber(ARGV[2]) then
  redis.call('LPUSH', KEYS[1], now .. ' ' .. ARGV[1])
  redis.call('LTRIM', KEYS[1], 0, 1)
end
return redis.call('LRANGE', KEYS[1], 0, -1)
