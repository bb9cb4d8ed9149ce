#!lua
-- Records that a router serves some accounts now, and a gap if the last heartbeat is too old, or if the last process
-- stopped before this one started. An account's first heartbeat makes no gap: nothing was missed before the router
-- existed.
--include outage
--
-- KEYS 1 alive   hash   AccountSid -> ms of the last heartbeat; "<AccountSid> stopped" -> see outage_stop.lua
--      2 gaps    hash   see outage.lua
-- ARGV 1 silence in ms after which messages may have been missed   2 in a process's first heartbeat the name of
--      its master, else ""   3… the accounts
--
-- Returns {now, account, "<from> <to>", …} for the accounts that have a gap
local alive, gaps, silence, starts = KEYS[1], KEYS[2], tonumber(ARGV[1]), ARGV[2]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local reply = {now}
for i = 3, #ARGV do
  local account = ARGV[i]
  local stopped = redis.call('HGET', alive, account .. ' stopped')
  if stopped then
    redis.call('HDEL', alive, account .. ' stopped')
    local at, master = string.match(stopped, '^(%d+) (.*)$')
    if starts ~= '' and starts ~= master then extend(gaps, account, tonumber(at), now) end
  end
  local last = tonumber(redis.call('HGET', alive, account) or now)
  if now - last > silence then extend(gaps, account, last, now) end
  redis.call('HSET', alive, account, now)
  local gap = redis.call('HGET', gaps, account)
  if gap then
    reply[#reply + 1] = account
    reply[#reply + 1] = gap
  end
end
return reply
