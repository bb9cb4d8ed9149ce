#!lua
-- Records a refused request for `router doctor`, and drops the oldest records above two limits.
--
-- KEYS 1 refused   stream  refused requests of one account, or of unknown accounts
--      2 refusing  zset    the index: the bucket's accounts that have some -> µs of the last one
-- ARGV 1 seconds that a record is kept   2 records of one account at most   3 accounts of the bucket at most
--      4 the account's name in the index   5 prefix of stream keys, before that name
--      6… field value field value …  of the record
local time = redis.call('TIME')
local seconds = tonumber(ARGV[1])
redis.call('XADD', KEYS[1], 'MAXLEN', '=', ARGV[2], '*', unpack(ARGV, 6))
redis.call('XTRIM', KEYS[1], 'MINID', '=', string.format('%.0f', (time[1] - seconds) * 1000))
redis.call('EXPIRE', KEYS[1], seconds)
redis.call('ZADD', KEYS[2], string.format('%.0f', time[1] * 1000000 + time[2]), ARGV[4])
for _, name in ipairs(redis.call('ZRANGE', KEYS[2], 0, -(tonumber(ARGV[3]) + 1))) do
  redis.call('DEL', ARGV[5] .. name)
  redis.call('ZREM', KEYS[2], name)
end
redis.call('EXPIRE', KEYS[2], seconds)
