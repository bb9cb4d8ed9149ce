#!lua flags=no-writes
-- Returns what the messages of a lane wait for.
--include clock
--include lane
--
-- KEYS 1 lane   list   ids of a conversation's messages not done yet, oldest first
-- ARGV 1 lane id
--
-- Returns {} for an empty lane, else {id, state and flow of its head, ms until it is due or its lease ends}
local head = redis.call('LINDEX', KEYS[1], 0)
if not head then return {} end
local m = redis.call('HMGET', messages .. head, 'state', 'flow')
local now, lease_now = clocks_read(tag)
local ends = redis.call('ZSCORE', leases, ARGV[1])
local starts = redis.call('ZSCORE', due .. ':' .. set_of(head, m[2]), ARGV[1])
return {head, m[1] or '', m[2] or '', math.max(0, ends and ends - lease_now or starts and starts - now or 0)}
