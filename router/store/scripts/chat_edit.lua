#!lua
-- Changes or removes a message of a web chat. No index changes.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list
-- ARGV 1 index   2 the message's SID   3 the new message, JSON, '' to remove it
--
-- Returns 1, or 0 if there is no such message
local place = tonumber(ARGV[1]) - tonumber(redis.call('HGET', KEYS[1], 'first') or 0)
local entry = place >= 0 and redis.call('LINDEX', KEYS[2], place)
if not entry or entry == '' or cjson.decode(entry).sid ~= ARGV[2] then return 0 end
redis.call('LSET', KEYS[2], place, ARGV[3])
chat_publish(KEYS[1], '{"event":"changed","index":' .. ARGV[1] .. ',"sid":"' .. ARGV[2] .. '"}')
return 1
