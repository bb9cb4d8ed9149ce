#!lua flags=allow-oom
-- Registers a process for some milliseconds, with its accounts and handlers. Replaces its previous entry, and removes
-- entries that have expired. In one step: an entry without its accounts would look like a process that serves none.
--
-- KEYS 1 processes: sorted set, entry of a process -> time in ms at which it expires
--      2 served:<digest>: string, the accounts and handlers of all processes with this digest
-- ARGV 1 the entry, 2 the previous entry or "", 3 lifetime in ms, 4 the accounts and handlers
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] ~= '' and ARGV[2] ~= ARGV[1] then redis.call('ZREM', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
