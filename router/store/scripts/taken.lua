-- Included by accept.lua. Twilio's signature contains no time, so an attacker could record a signed request and replay
-- it after the record of its message has expired. So the SIDs of an account are kept for longer than the records:
--   taken:{b}:<AccountSid>:<period>:<4 hex digits>   set   the last 52 bits of the SIDs that have these digits before
-- A period is 30 days, and its keys expire at the end of the next one. Redis packs sets of up to 512 integers at 8
-- bytes each. With its share of a key a message costs 11 bytes at 3 million messages a period, 16 at a million, 34 at
-- 300,000, and 150 at 3,000, where each message has its own key. 68 bits of a SID are compared: with 3 x 10^8 SIDs in
-- the two periods, one of 10^12 new messages is wrongly taken for a duplicate.
local PERIOD = 30 * 86400000

-- Returns whether the message was accepted in this period or the last one, and records it.
local function taken_before(log, id, now)
  local period, number = math.floor(now / PERIOD), tonumber(string.sub(id, -13), 16)
  local before, digits = 'taken:{' .. string.sub(log, 6) .. ':', ':' .. string.lower(string.sub(id, -17, -14))
  if redis.call('SISMEMBER', before .. period - 1 .. digits, number) == 1 then return true end
  if redis.call('SADD', before .. period .. digits, number) == 0 then return true end
  redis.call('PEXPIREAT', before .. period .. digits, (period + 2) * PERIOD, 'NX')
  return false
end
