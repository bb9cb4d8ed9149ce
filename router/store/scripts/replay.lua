#!lua
-- Puts a message that is done back at the tail of its lane, as a new round: older holders are told "stale".
--include clock
--include lane
--
-- KEYS 1 message hash   2 lane list   3 dead zset
-- ARGV 1 lane id   2 message id   3 ms for which the caller has not heard of the store (clock.lua)
--      4 the round that the caller read, '' for any   5… field value … (Route=current writes another flow)
--
-- Returns queued | busy (queued, held or sending, or sent again since) | gone (its body has expired) | missing
local now = clocks(tag, tonumber(ARGV[3]))
local m = redis.call('HMGET', KEYS[1], 'state', 'raw', 'round')
if not m[1] then return 'missing' end
if m[1] == 'queued' or m[1] == 'held' or m[1] == 'sending' then return 'busy' end
if ARGV[4] ~= '' and ARGV[4] ~= (m[3] or '0') then return 'busy' end
if not m[2] then return 'gone' end
redis.call('PERSIST', KEYS[1])
redis.call('HDEL', KEYS[1], 'settled', 'answer', 'error', 'late', 'lost', 'lease', 'failures', 'refusals', 'said', 'doubt')
redis.call('HSET', KEYS[1], 'state', 'queued', 'attempts', 0, 'held', now, unpack(ARGV, 5))
redis.call('HINCRBY', KEYS[1], 'round', 1)
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('HINCRBY', queued, account_of(ARGV[2]), 1)
if redis.call('RPUSH', KEYS[2], ARGV[2]) == 1 then wait(ARGV[1], now) end
return 'queued'
