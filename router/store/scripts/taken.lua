-- Included by accept.lua. Twilio's signature has no time, so a signed request that was recorded on the way could be sent
-- again when the record of its message has expired. The SIDs of an account are known for longer than the records:
--   taken:{b}:<AccountSid>:<period>:<4 hex digits>   set   the last 52 bits of the SIDs that have these digits before
-- A period is 30 days, and its keys expire at the end of the next one. Sets of up to 512 integers are packed, 8 bytes
-- each; with its share of a key a message costs 11 bytes of 3 million a period, 16 of a million, 34 of 300,000, and 150
-- of 3,000, where each has its own key. 68 bits of a SID are compared: of 10^12 new messages one is taken for an old one
-- where the two periods have 3 x 10^8.
local PERIOD = 30 * 86400000

-- Whether the message was accepted in this period or the last one; it is known from now on.
local function taken_before(log, id, now)
  local period, number = math.floor(now / PERIOD), tonumber(string.sub(id, -13), 16)
  local before, digits = 'taken:{' .. string.sub(log, 6) .. ':', ':' .. string.lower(string.sub(id, -17, -14))
  if redis.call('SISMEMBER', before .. period - 1 .. digits, number) == 1 then return true end
  if redis.call('SADD', before .. period .. digits, number) == 0 then return true end
  redis.call('PEXPIREAT', before .. period .. digits, (period + 2) * PERIOD, 'NX')
  return false
end
