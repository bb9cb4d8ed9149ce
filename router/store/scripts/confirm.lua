#!lua flags=allow-oom
-- Records that the replicas have a message that was accepted without a lease: it may be sent.
--include clock
--include lane
--
-- KEYS 1 message   hash
-- ARGV 1 token   2 lane id   3 message id   4 ms since the caller last heard from the store (clock.lua)
--
-- Returns 1, or 0 if it was confirmed before, or accepted with another token
local m = redis.call('HMGET', KEYS[1], 'token', 'unconfirmed', 'state', 'flow')
if m[1] ~= ARGV[1] or not m[2] then return 0 end
redis.call('HDEL', KEYS[1], 'unconfirmed')
if m[3] == 'queued' and redis.call('LINDEX', lanes .. ARGV[2], 0) == ARGV[3] then
  leave(ARGV[2], set_of(ARGV[3], m[4]))
  wait(ARGV[2], (clocks(tag, tonumber(ARGV[4]))))
end
return 1
