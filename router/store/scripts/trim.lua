#!lua flags=allow-oom
-- Removes index entries whose message has expired, one page.
--
-- KEYS 1 index zset (log or dead)
-- ARGV 1 age: only entries older than this many ms   2 the score to begin at, '-inf' for the first page
--      3 page size   4 prefix of message keys
--
-- Returns {entries read, entries removed, score of the last one read}
local time = redis.call('TIME')
local before = time[1] * 1000 - tonumber(ARGV[1])
local entries = redis.call('ZRANGE', KEYS[1], ARGV[2], before, 'BYSCORE', 'LIMIT', 0, ARGV[3], 'WITHSCORES')
local gone = {}
for i = 1, #entries, 2 do
  if redis.call('EXISTS', ARGV[4] .. entries[i]) == 0 then gone[#gone + 1] = entries[i] end
end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {#entries / 2, #gone, entries[#entries] or ARGV[2]}
