#!lua
-- Records that a router serves some accounts now, and a gap if the last heartbeat is too old.
-- An account's first heartbeat makes no gap: nothing was missed before the router existed.
--include outage
--
-- KEYS 1 alive   hash   AccountSid -> ms of the last heartbeat
--      2 gaps    hash   see outage.lua
-- ARGV 1 silence in ms after which messages may have been missed, then the accounts
--
-- Returns {now, account, "<from> <to>", …} for the accounts that have a gap
local alive, gaps, silence = KEYS[1], KEYS[2], tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = {now}
for i = 2, #ARGV do
  local account = ARGV[i]
  local last = tonumber(redis.call('HGET', alive, account) or now)
  if now - last > silence then extend(gaps, account, last, now) end
  redis.call('HSET', alive, account, now)
  local gap = redis.call('HGET', gaps, account)
  if gap then
    found[#found + 1] = account
    found[#found + 1] = gap
  end
end
return found
