#!lua flags=no-writes
-- Returns whether claim.lua has work in a bucket: a lease has ended, a lane is due, or the clocks, which stand still
-- while no process reads them, must be written. So each second one process claims in a bucket, and not all of them.
--include clock
--
-- KEYS 1 due:{b}   2 leases:{b}   zset   as in lane.lua
--
-- Returns 1 or 0
local tag = string.match(KEYS[1], '{[^}]*}')
local _, _, last, now = clocks_written(tag)
if now < last or now > last + LOOK then return 1 end
local due_now, lease_now = clocks_read(tag)
local due, leases = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES'), redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
return (tonumber(due[2] or due_now + 1) <= due_now or tonumber(leases[2] or lease_now + 1) <= lease_now) and 1 or 0
