#!lua
-- Puts the next messages of a bulk replay back into their lanes, and counts the results. This is one atomic step: if a
-- process is killed and another one continues, no message is sent or counted twice.
--include clock
--include lane
--include lane_action
--
-- KEYS 1 bulk hash   2 list of the messages that are left, each "<MessageSid> <its round when it was chosen>"
-- ARGV 1 id of the replay   2 AccountSid   3 ms since the caller last heard from the store (clock.lua)   4 who began it
--      5… for each message: its entry of the list, its result if the caller knows it already (unrouted | gone, else
--      ''), the flow that it shall go to ('' for its own), and the language
--
-- Returns 0 if another replay is running, or this one shall stop; else 1
local bulk, left, account, by = KEYS[1], KEYS[2], ARGV[2], ARGV[4]
local job = redis.call('HMGET', bulk, 'id', 'state')
if job[1] ~= ARGV[1] or job[2] ~= 'running' then return 0 end
local now = clocks(tag, tonumber(ARGV[3]))

local function replay(entry, known, flow, language)
  local sid, round = string.match(entry, '^(%S+) (%d+)$')
  local id = account .. ':' .. sid
  local m = redis.call('HMGET', messages .. id, 'state', 'raw', 'round', 'lane')
  if not m[1] then return 'missing' end
  if (m[1] ~= 'undelivered' and m[1] ~= 'unrouted') or round ~= (m[3] or '0') then return 'busy' end
  if known ~= '' then return known end
  if not m[2] then return 'gone' end
  if flow == '' then put_back(m[4], id, now, by)
  else put_back(m[4], id, now, by, 'flow', flow, 'language', language) end
  return 'queued'
end

for i = 5, #ARGV, 4 do
  if redis.call('LINDEX', left, 0) ~= ARGV[i] then return 1 end
  redis.call('LPOP', left)
  redis.call('HINCRBY', bulk, replay(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]), 1)
end
return 1
