#!lua flags=allow-oom
-- Makes the lanes due now whose heads wait for a retry at a target, because the target answers again. This changes the
-- order of the index, so the caller reads the index again until no lane is moved.
--include clock
--include lane
--
-- KEYS 1 due:{b}
-- ARGV 1 AccountSid of the flows, '' for all accounts   2 target
--      3 the place in the index to begin at   4 how many due sets are read   5 how many lanes are moved at most
--      6 ms since the caller last heard from the store (clock.lua)
--
-- Returns {how many lanes were moved, the place to continue from, -1 at the end of the index}
local account, target, place, looks, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = clocks(tag, tonumber(ARGV[6]))
local sets, moved = redis.call('ZRANGE', due, place, place + looks - 1), 0
for seen, set in ipairs(sets) do
  if (account == '' or account_of(set) == account) and flow_of(set) == target then
    local key = due .. ':' .. set
    for _, lane_id in ipairs(redis.call('ZRANGE', key, '(' .. now, '+inf', 'BYSCORE', 'LIMIT', 0, most - moved)) do
      redis.call('ZREM', key, lane_id)
      wait(lane_id, now) -- a lane whose head the replicas have not confirmed is still not due
      if tonumber(redis.call('ZSCORE', key, lane_id) or 0) <= now then moved = moved + 1 end
    end
    refresh(set)
    if moved == most then return {moved, place + seen} end
  end
end
return {moved, #sets == looks and place + looks or -1}
