#!lua
-- Counts a visitor's action against rate limits.
--
-- KEYS 1… chat_limit   string   count in the current period, which began with its first action
-- ARGV for each key: the limit, ms of the period
--
-- Returns 0, or ms to wait if a limit is reached; then nothing is counted
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
