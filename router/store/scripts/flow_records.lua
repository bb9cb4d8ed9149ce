#!lua flags=no-writes
-- Reads flow records, as many as weigh so much together.
--
-- KEYS 1… flow   string   as in put_flows.lua
-- ARGV 1 bytes: with the record that reaches them the reply ends
--
-- Returns a record, or '' where there is none, for each of the first of the keys, one at least
local out, bytes = {}, 0
for i, key in ipairs(KEYS) do
  out[i] = redis.call('GET', key) or ''
  bytes = bytes + #out[i]
  if bytes >= tonumber(ARGV[1]) then break end
end
return out
