#!lua flags=allow-oom
-- Drops index entries whose message has expired, a page at a time.
--
-- KEYS 1 index zset (log or dead)
-- ARGV 1 before: entries older than this many ms   2 offset   3 page size   4 prefix of message keys
--
-- Returns {looked at, dropped}
local time = redis.call('TIME')
local before = time[1] * 1000 - tonumber(ARGV[1])
local ids = redis.call('ZRANGE', KEYS[1], '-inf', before, 'BYSCORE', 'LIMIT', ARGV[2], ARGV[3])
local gone = {}
for _, id in ipairs(ids) do
  if redis.call('EXISTS', ARGV[4] .. id) == 0 then gone[#gone + 1] = id end
end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {#ids, #gone}
