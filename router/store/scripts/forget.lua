#!lua flags=allow-oom
-- Removes keys of an account that has not been in any router's settings for a long time, and the lanes of its messages.
--
-- KEYS 1 accounts   hash   as in present.lua   2 due   zset   3 leases   zset   as in lane.lua
--      4 queued   hash: AccountSid -> messages not done yet   5 languages   set of the bucket
--      6 alive, 7 gaps   hashes, as in outage_beat.lua
--      8… any keys of the account
-- ARGV 1 AccountSid   2 seconds of absence at which an account is forgotten   3 prefix of lanes
--      4 prefix of message keys   5 whether these are the last keys: 0 | 1
--
-- Returns 1, or 0 if the account is in a router's settings again; then nothing is removed
local sid, messages, sets = ARGV[1], ARGV[4], KEYS[2] .. ':'
if tonumber(redis.call('HGET', KEYS[1], sid) or 0) < tonumber(ARGV[2]) then return 0 end
for i = 8, #KEYS do
  if string.sub(KEYS[i], 1, #messages) == messages then
    local lane = redis.call('HGET', KEYS[i], 'lane')
    if lane then
      redis.call('UNLINK', ARGV[3] .. lane)
      redis.call('ZREM', KEYS[3], lane)
    end
  elseif string.sub(KEYS[i], 1, #sets) == sets then
    redis.call('ZREM', KEYS[2], string.sub(KEYS[i], #sets + 1))
  end
  redis.call('UNLINK', KEYS[i])
end
if ARGV[5] == '1' then
  redis.call('HDEL', KEYS[4], sid)
  redis.call('HDEL', KEYS[6], sid, sid .. ' stopped')
  redis.call('HDEL', KEYS[7], sid)
  redis.call('HDEL', KEYS[1], sid)
  if redis.call('EXISTS', KEYS[1]) == 0 then redis.call('UNLINK', KEYS[5]) end
end
return 1
