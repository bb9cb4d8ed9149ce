#!lua flags=no-writes
-- Returns the age of the oldest message of each due set that waits or is being sent. It reads the heads of lanes only,
-- because the messages behind a head are younger. Held messages and paused flows do not count.
--include clock
--include lane
--
-- KEYS 1 due:{b}   zset   <AC>:<FO> -> ms at which the first lane of that flow's due set is due
-- ARGV 1 place in it to begin at; at 0 the lanes that are being sent are read too   2 how many due sets are read
--      3 lanes read of one due set at most, the earliest due first
--      4 lanes read of all due sets together, and lanes being sent, at most; of each due set at least one
--
-- Returns {number of due sets read, ms by which the store's TIME is ahead of the due clock,
--   {due set, target, age in ms of the oldest message seen}, …}
local place, looks, each, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local now = clocks_read(tag)
local time = redis.call('TIME')
local oldest = {}

local function look(lane_id)
  local id = redis.call('LINDEX', lanes .. lane_id, 0)
  local m = id and redis.call('HMGET', messages .. id, 'at', 'held', 'flow')
  if not (m and m[1]) then return end
  local set = set_of(id, m[3])
  if not oldest[set] then
    local target, paused = flow_of(set)
    local resumed = redis.call('GET', 'resumed:' .. tag .. ':' .. set)
    oldest[set] = {target, paused == '1', tonumber(resumed or 0), -1}
  end
  local o = oldest[set]
  if not o[2] then o[4] = math.max(o[4], now - since(m[1], m[2], o[3]), 0) end
end

if place == 0 then
  for _, lane_id in ipairs(redis.call('ZRANGE', leases, 0, most - 1)) do look(lane_id) end
end
local sets = redis.call('ZRANGE', due, place, place + looks - 1)
each = math.max(1, math.min(each, math.floor(most / math.max(1, #sets))))
for _, set in ipairs(sets) do
  for _, lane_id in ipairs(redis.call('ZRANGE', due .. ':' .. set, 0, each - 1)) do look(lane_id) end
end
local out = {#sets, math.floor(time[1] * 1000 + time[2] / 1000 - now)}
for set, o in pairs(oldest) do
  if o[4] >= 0 then out[#out + 1] = {set, o[1], o[4]} end
end
return out
