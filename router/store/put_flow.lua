#!lua
-- Writes a flow: its record, its address entry with a new version, and the account's index.
--
-- KEYS 1 flow      string   "<target> <paused 0|1> <validity in s> <json>"
--      2 address   hash     the entry that the flow belongs to now
--      3 before    hash     the entry that it belonged to (the same key when it did not move)
--      4 flows     zset     SIDs of the account's flows -> date created
-- ARGV 1 sid   2 record   3 the record that the caller changed, '' to create   4 new version
--      5 date created   6 prefix of the account's flow records
--      7 '1' when the flow is enabled and has neither Language nor Match   8 channel type
--
-- Returns {ok} | {changed, the record as it is} (somebody else wrote meanwhile) | {conflict, sid of the other default}
local flow, address, before, flows = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local sid, record, expected, version = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local current = redis.call('GET', flow) or ''
if current ~= expected then return {'changed', current} end
if ARGV[7] == '1' then
  for _, other in ipairs(redis.call('HKEYS', address)) do
    if other ~= 'version' and other ~= sid then
      local text = redis.call('GET', ARGV[6] .. other)
      local json = text and string.match(text, '^%S+ %d %d+ (.*)$')
      local f = json and cjson.decode(json)
      if f and f.enabled ~= false and not f.language and not f.match and f.channel_type == ARGV[8] then
        return {'conflict', other}
      end
    end
  end
end
redis.call('SET', flow, record)
if before ~= address then
  redis.call('HDEL', before, sid)
  if redis.call('HLEN', before) <= 1 then redis.call('DEL', before)
  else redis.call('HSET', before, 'version', version) end
end
redis.call('HSET', address, 'version', version, sid, '')
redis.call('ZADD', flows, ARGV[5], sid)
return {'ok'}
