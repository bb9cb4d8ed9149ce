#!lua
-- Puts a message that is done back at the tail of its lane, as a new round: settle.lua returns "stale" to older
-- holders.
--include clock
--include lane
--include lane_action
--
-- KEYS 1 message hash
-- ARGV 1 lane id   2 message id   3 ms since the caller last heard from the store (clock.lua)   4 who replays it
--      5 the round that the caller read, '' for any   6… field value … (Route=current writes another flow)
--
-- Returns queued | busy (queued, held or sending, or sent again since) | gone (its body has expired) | missing
local now = clocks(tag, tonumber(ARGV[3]))
local m = redis.call('HMGET', KEYS[1], 'state', 'raw', 'round')
if not m[1] then return 'missing' end
if m[1] == 'queued' or m[1] == 'held' or m[1] == 'sending' then return 'busy' end
if ARGV[5] ~= '' and ARGV[5] ~= (m[3] or '0') then return 'busy' end
if not m[2] then return 'gone' end
put_back(ARGV[1], ARGV[2], now, ARGV[4], unpack(ARGV, 6))
return 'queued'
