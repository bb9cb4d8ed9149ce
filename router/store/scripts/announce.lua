#!lua flags=allow-oom
-- Registers a process for some milliseconds, with its accounts and handlers. Replaces its previous entry. In one step:
-- an entry without its accounts would look like a process that serves none.
--
-- KEYS 1 processes: sorted set, entry of a process -> time in ms at which it expires
--      2 served:<digest>: string, the accounts and handlers of all processes with this digest. It is kept for twice the
--        lifetime of an entry: it is still read after the last of its processes was killed
-- ARGV 1 the entry, 2 the previous entry or "", 3 lifetime in ms, 4 the accounts and handlers
--
-- Returns the entries that have expired, each followed by the time of its expiry: such a process did not withdraw
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[2] ~= '' and ARGV[2] ~= ARGV[1] then redis.call('ZREM', KEYS[1], ARGV[2]) end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('SET', KEYS[2], ARGV[4], 'PX', 2 * ARGV[3])
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'WITHSCORES')
