#!lua flags=allow-oom
-- Records which accounts of a bucket are in a running router's settings, and for how long the others are in none.
--
-- KEYS 1 accounts   hash   AccountSid -> seconds for which routers ran without it in their settings
-- ARGV 1 seconds to add for all other accounts of the hash   2… accounts of this process's settings
--
-- Returns the hash: AccountSid seconds AccountSid seconds …
local accounts, seconds = KEYS[1], tonumber(ARGV[1])
local own = {}
for i = 2, #ARGV do
  own[ARGV[i]] = true
  if redis.call('HGET', accounts, ARGV[i]) ~= '0' then redis.call('HSET', accounts, ARGV[i], 0) end
end
if seconds > 0 then
  for _, sid in ipairs(redis.call('HKEYS', accounts)) do
    if not own[sid] then redis.call('HINCRBY', accounts, sid, seconds) end
  end
end
return redis.call('HGETALL', accounts)
