#!lua flags=no-writes
-- Reads flow records until they are a number of bytes together.
--
-- KEYS 1… flow   string   as in put_flows.lua
-- ARGV 1 bytes: the record that reaches this sum is the last one of the reply
--
-- Returns, for the first keys, at least one, the record, or '' if the flow does not exist
local out, bytes = {}, 0
for i, key in ipairs(KEYS) do
  out[i] = redis.call('GET', key) or ''
  bytes = bytes + #out[i]
  if bytes >= tonumber(ARGV[1]) then break end
end
return out
