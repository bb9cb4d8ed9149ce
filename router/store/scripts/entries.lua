#!lua flags=no-writes
-- Reads address entries with their flows.
--
-- KEYS 1… address   hash    version, and a field for each flow's SID
-- ARGV 1 prefix of the account's flow records
--
-- Returns, for each key, {version or '', SID, record, SID, record, …}
local out = {}
for i, key in ipairs(KEYS) do
  local entry = {redis.call('HGET', key, 'version') or ''}
  for _, sid in ipairs(redis.call('HKEYS', key)) do
    if sid ~= 'version' then
      local record = redis.call('GET', ARGV[1] .. sid)
      if record then
        entry[#entry + 1] = sid
        entry[#entry + 1] = record
      end
    end
  end
  out[i] = entry
end
return out
