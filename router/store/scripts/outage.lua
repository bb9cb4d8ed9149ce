-- Times at which an account's messages may have been missed.
--
--   gaps:{b}   hash   AccountSid -> "<from> <to>", ms since 1970 by the store's clock: the last heartbeat before a gap,
--                     and the first one after it. A new gap is merged with the old one. Removed after recovery.
local function extend(gaps, account, from, to)
  local known = redis.call('HGET', gaps, account)
  if known then
    local first, last = string.match(known, '^(%d+) (%d+)$')
    from, to = math.min(from, tonumber(first)), math.max(to, tonumber(last))
  end
  redis.call('HSET', gaps, account, string.format('%.0f %.0f', from, to))
end
