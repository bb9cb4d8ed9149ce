-- Included by the scripts that need the time by which messages wait, age and are leased. The store's own clock may
-- jump: a person or NTP sets it, or a failover changes the machine. So there are two clocks beside it (docs/lanes.md):
--
--   clock:{b}   string   "<lease> <due> <TIME>", ms: both clocks, and the store's TIME when they were written
--
-- The lease clock follows TIME, at most by 2 s at once. While something waits or is leased, a process reads it every
-- second (look.lua), so no step of TIME moves it by more than that. While no process reads it, it stands still.
-- The due clock follows TIME, but at one call it advances at most by the time since that process last heard from the
-- store, plus 1 s. So it ignores a jump of TIME but counts an outage. If the caller never heard from the store, it
-- follows TIME. It never goes back. While it and TIME differ, it runs a tenth faster or slower until they agree.
local LOOK = 1000 -- for so many ms after the clocks were written they are read without being written again
local STEP, KEPT = 2000, 30 * 86400 * 1000

local function between(value, least, most) return math.max(least, math.min(most, value)) end

-- Both clocks as they were written, the store's TIME at that moment, and its TIME now; all in ms.
local function clocks_written(tag)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local lease, due, last = string.match(redis.call('GET', 'clock:' .. tag) or '', '^(%S+) (%S+) (%S+)$')
  return tonumber(lease or now), tonumber(due or now), tonumber(last or 0), now
end

-- The due clock and the lease clock in ms, and the due clock with microseconds. `heard` is the ms since the caller sent
-- the last request that the store answered, by the caller's monotonic clock; -1 if there was none.
local function clocks(tag, heard)
  local lease, due, last, now = clocks_written(tag)
  local passed = now - last
  if passed >= 0 and passed <= LOOK then
    lease, due = lease + passed, due + passed
  else
    if last > 0 then
      lease = lease + between(passed, 0, STEP)
      -- If TIME was set back, the due clock may have been read at up to LOOK ms later: it goes on from there.
      passed = passed < 0 and LOOK or between(passed, 0, heard < 0 and passed or heard + LOOK)
      due = due + passed
      due = due + between(now - due, -passed / 10, passed / 10)
    end
    redis.call('SET', 'clock:' .. tag, string.format('%.3f %.3f %.3f', lease, due, now), 'PX', KEPT)
  end
  return math.floor(due), math.floor(lease), due
end

-- The due clock and the lease clock for a script that only reads.
local function clocks_read(tag)
  local lease, due, last, now = clocks_written(tag)
  local passed = last > 0 and math.max(0, now - last) or 0
  return math.floor(due + passed), math.floor(lease + math.min(passed, STEP))
end
