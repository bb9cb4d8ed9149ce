-- Included by what needs the time by which messages wait, grow old and are leased. The store's own clock may be set: by
-- a person, by NTP after a start, by a failover to another machine. So there are two clocks beside it (docs/lanes.md):
--
--   clock:{b}   string   "<lease> <due> <TIME>", ms: both clocks, and the store's TIME when they were written
--
-- The lease clock follows TIME, at most by 2 s at once. While something waits or is leased, a process reads it every
-- second (look.lua), so no step of TIME moves it by more than that. While no process reads it, it stands still.
-- The due clock follows TIME, but at one call it advances at most by the time since that process last heard from the
-- store, plus 1 s. So it ignores a jump of TIME but counts an outage. For a caller that never heard from the store it
-- follows TIME. It never goes back. Where it and TIME differ, it runs a tenth faster or slower until they agree.
local LOOK = 1000 -- so many ms after they were written the clocks are read without being written again
local STEP, KEPT = 2000, 30 * 86400 * 1000

local function between(value, least, most) return math.max(least, math.min(most, value)) end

-- Both clocks as they were written, when that was by the store's TIME, and what that is now; all in ms.
local function clocks_written(tag)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local lease, due, last = string.match(redis.call('GET', 'clock:' .. tag) or '', '^(%S+) (%S+) (%S+)$')
  return tonumber(lease or now), tonumber(due or now), tonumber(last or 0), now
end

-- The due clock and the lease clock in ms, and the due clock with microseconds. `heard` is for how many ms the caller has
-- not heard of the store, by its monotonic clock, since it sent what was answered last; -1 where it never has.
local function clocks(tag, heard)
  local lease, due, last, now = clocks_written(tag)
  local passed = now - last
  if passed >= 0 and passed <= LOOK then
    lease, due = lease + passed, due + passed
  else
    if last > 0 then
      lease = lease + between(passed, 0, STEP)
      -- TIME was set back: up to LOOK of the due clock have been read since, and it never goes back.
      passed = passed < 0 and LOOK or between(passed, 0, heard < 0 and passed or heard + LOOK)
      due = due + passed
      due = due + between(now - due, -passed / 10, passed / 10)
    end
    redis.call('SET', 'clock:' .. tag, string.format('%.3f %.3f %.3f', lease, due, now), 'PX', KEPT)
  end
  return math.floor(due), math.floor(lease), due
end

-- The due clock and the lease clock for who only looks.
local function clocks_read(tag)
  local lease, due, last, now = clocks_written(tag)
  local passed = last > 0 and math.max(0, now - last) or 0
  return math.floor(due + passed), math.floor(lease + math.min(passed, STEP))
end
