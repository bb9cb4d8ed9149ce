#!lua
-- Changes or removes a message of a web chat; its index stays, and those of the others.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list
-- ARGV 1 index   2 the message's SID   3 the message as it is from now on, JSON, '' where it is removed
--
-- Returns 1, or 0 where there is no such message
local place = tonumber(ARGV[1]) - tonumber(redis.call('HGET', KEYS[1], 'first') or 0)
local entry = place >= 0 and redis.call('LINDEX', KEYS[2], place)
if not entry or entry == '' or cjson.decode(entry).sid ~= ARGV[2] then return 0 end
redis.call('LSET', KEYS[2], place, ARGV[3])
chat_tell(KEYS[1], '{"event":"changed","index":' .. ARGV[1] .. ',"sid":"' .. ARGV[2] .. '"}')
return 1
