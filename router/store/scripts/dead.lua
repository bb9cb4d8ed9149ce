#!lua flags=no-writes
-- Counts undelivered and unrouted messages of an account, without those that an operator cancelled.
--
-- KEYS 1 dead   zset   undelivered and unrouted messages of an account -> ms
-- ARGV 1 prefix of message keys   2 how many of the newest ones are read   3 the error of a cancelled message
--
-- Returns {undelivered, unrouted}
local counts = {undelivered = 0, unrouted = 0}
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, tonumber(ARGV[2]) - 1, 'REV')) do
  local state, error = unpack(redis.call('HMGET', ARGV[1] .. id, 'state', 'error'))
  if state and counts[state] and error ~= ARGV[3] then counts[state] = counts[state] + 1 end
end
return {counts.undelivered, counts.unrouted}
