#!lua
-- Begins a web chat, or returns the visitor's open one.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset   4 chat_names   hash
--      5 chat_identity   zset   6 chat_visitor   string; the same as 1 if no chat may be resumed
-- ARGV 1 conversation SID   2 ms that the chat is kept, 0 for as long as it is open   3 unique name, '' for none
--      4 ms for which the visitor may resume it   5 whether to resume an open one: 0 | 1   6… field value … of the chat
--
-- Returns {begun, conversation SID} | {resumed, the SID of the visitor's open chat} | {taken, the SID of the open chat
--       with this unique name}
local chat, id, keep, name, last = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local prefix, visitor = string.sub(chat, 1, -35), KEYS[6] ~= KEYS[1] and KEYS[6]

local function is_open(other)
  local state = other and redis.call('HGET', prefix .. other, 'state')
  return state and state ~= 'closed'
end

local before = visitor and ARGV[5] == '1' and redis.call('GET', visitor)
if before and is_open(before) and redis.call('HEXISTS', prefix .. before, 'participant_sid') == 1 then
  return {'resumed', before}
end
if name ~= '' then
  local named = redis.call('HGET', KEYS[4], name)
  if is_open(named) then return {'taken', named} end
  redis.call('HSET', KEYS[4], name, id)
end
redis.call('HSET', chat, unpack(ARGV, 6))
chat_list(chat, KEYS[5], last)
if visitor then redis.call('SET', visitor, id, 'PX', last) end
chat_keep(chat, KEYS[2], KEYS[3], keep)
return {'begun', id}
