#!lua
-- Counts something that visitors do, unless they have done too much of it lately.
--
-- KEYS 1… chat_limit   string   how often, in a period that begins with the first time
-- ARGV for each key: how often it may be, ms of the period
--
-- Returns 0, or the ms after which it may be tried again; then nothing is counted
local wait = 0
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or 0) >= tonumber(ARGV[2 * i - 1]) then
    wait = math.max(wait, redis.call('PTTL', key))
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  if redis.call('INCR', key) == 1 then redis.call('PEXPIRE', key, ARGV[2 * i]) end
end
return 0
