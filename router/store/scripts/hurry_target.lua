#!lua flags=allow-oom
-- Lets the heads be sent now that wait for a retry at a target: it answers again. Moved lanes change the order of the
-- index, so it is gone through until nothing was left to move.
--include clock
--include lane
--
-- KEYS 1 due:{b}
-- ARGV 1 AccountSid whose flows are meant, '' for all accounts   2 target
--      3 the place in the index to begin at   4 how many due sets are looked at   5 how many lanes are moved at most
--      6 ms for which the caller has not heard of the store (clock.lua)
--
-- Returns {how many lanes were moved, the place to go on from, -1 at the end of the index}
local account, target, place, looks, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local now = clocks(tag, tonumber(ARGV[6]))
local sets, moved = redis.call('ZRANGE', due, place, place + looks - 1), 0
for seen, set in ipairs(sets) do
  if (account == '' or account_of(set) == account) and flow_of(set) == target then
    local key = due .. ':' .. set
    for _, lane_id in ipairs(redis.call('ZRANGE', key, '(' .. now, '+inf', 'BYSCORE', 'LIMIT', 0, most - moved)) do
      redis.call('ZREM', key, lane_id)
      wait(lane_id, now) -- one that the replicas have not confirmed yet waits as before
      if tonumber(redis.call('ZSCORE', key, lane_id) or 0) <= now then moved = moved + 1 end
    end
    refresh(set)
    if moved == most then return {moved, place + seen} end
  end
end
return {moved, #sets == looks and place + looks or -1}
