#!lua
-- Writes a flow: its record, its address entry with a new version, the account's indexes, and what changed.
--
-- KEYS 1 flow      string   "<target> <paused 0|1> <validity in s> <json>"
--      2 address   hash     the entry that the flow belongs to now: version, and a field for each flow's SID
--      3 before    hash     the entry that it belonged to (the same key when it did not move)
--      4 flows     zset     SIDs of the account's flows -> place: µs of the creation, unique, in the order of creation
--      5 named     zset     the flows of about the same FriendlyName -> place (keys.py says which share a key)
--      6 named before       as 3 is to 2
--      7 changes   stream   what was done to the account's flows: flow, by, change (JSON); trimmed
-- ARGV 1 sid   2 record   3 the record that the caller changed, '' to create   4 new version
--      5 prefix of the account's flow records
--      6 which other flow without Language and Match may not be there: 'enabled', 'any', '' for none   7 channel type
--      8 flows that an address may have   9 who does it   10 what changed   11 changes kept, about
--
-- Returns {ok} | {changed, the record as it is} (somebody else wrote meanwhile) | {conflict, sid of the other default}
--       | {full}
local flow, address, before, flows, named, named_before = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local sid, record, expected, version, rule = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local current = redis.call('GET', flow) or ''
if current ~= expected then return {'changed', current} end
if redis.call('HEXISTS', address, sid) == 0 and redis.call('HLEN', address) > tonumber(ARGV[8]) then return {'full'} end
if rule ~= '' then
  for _, other in ipairs(redis.call('HKEYS', address)) do
    if other ~= 'version' and other ~= sid then
      local text = redis.call('GET', ARGV[5] .. other)
      local json = text and string.match(text, '^%S+ %d %d+ (.*)$')
      local f = json and cjson.decode(json)
      if f and (f.enabled ~= false or rule == 'any') and not f.language and not f.match and f.channel_type == ARGV[7]
      then
        return {'conflict', other}
      end
    end
  end
end

local place = redis.call('ZSCORE', flows, sid)
if not place then
  local time = redis.call('TIME')
  place = time[1] * 1000000 + time[2]
  local last = redis.call('ZRANGE', flows, -1, -1, 'WITHSCORES')[2]
  if last and tonumber(last) >= place then place = tonumber(last) + 1 end
  place = string.format('%.0f', place)
  redis.call('ZADD', flows, place, sid)
end
redis.call('SET', flow, record)
if before ~= address then
  redis.call('HDEL', before, sid)
  if redis.call('HLEN', before) <= 1 then redis.call('DEL', before)
  else redis.call('HSET', before, 'version', version) end
end
redis.call('HSET', address, 'version', version, sid, '')
if named_before ~= named then redis.call('ZREM', named_before, sid) end
redis.call('ZADD', named, place, sid)
redis.call('XADD', KEYS[7], 'MAXLEN', '~', ARGV[11], '*', 'flow', sid, 'by', ARGV[9], 'change', ARGV[10])
return {'ok'}
