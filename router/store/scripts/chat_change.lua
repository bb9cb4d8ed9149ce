#!lua
-- Changes a web chat.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list   3 chats   zset   4 chat_names   hash
-- ARGV 1 ms that the chat is kept, 0 for as long as it is open   2 the event for streams, JSON, '' for none
--      3 whether tokens are revoked: 0 | 1   4 whether this counts as activity: 0 | 1
--      5… field value …, '' to remove the field; among them the new `state` and `unique_name`
--
-- Returns changed | gone | closed (a closed chat cannot be opened again) | taken (the unique name)
local chat = KEYS[1]
local c = redis.call('HMGET', chat, 'state', 'unique_name', 'served')
if not c[1] then return 'gone' end
local changes = {}
for n = 5, #ARGV, 2 do changes[ARGV[n]] = ARGV[n + 1] end
if c[1] == 'closed' and changes.state and changes.state ~= 'closed' then return 'closed' end
local name, id = changes.unique_name, string.sub(chat, -34)
if name and name ~= (c[2] or '') then
  local other = name ~= '' and redis.call('HGET', KEYS[4], name)
  local state = other and redis.call('HGET', string.sub(chat, 1, -35) .. other, 'state')
  if state and state ~= 'closed' then return 'taken' end
  if c[2] and c[2] ~= '' and redis.call('HGET', KEYS[4], c[2]) == id then redis.call('HDEL', KEYS[4], c[2]) end
  if name ~= '' then redis.call('HSET', KEYS[4], name, id) end
end
for n = 5, #ARGV, 2 do
  if ARGV[n + 1] == '' then redis.call('HDEL', chat, ARGV[n]) else redis.call('HSET', chat, ARGV[n], ARGV[n + 1]) end
end
if changes.state == 'closed' then chat_mark_untold(chat, c[1], c[3]) end
if ARGV[3] == '1' then redis.call('HINCRBY', chat, 'epoch', 1) end
if ARGV[4] == '1' then chat_keep(chat, KEYS[2], KEYS[3], tonumber(ARGV[1])) end
local same_state = changes.state and changes.state == c[1]
if ARGV[2] ~= '' and not same_state then chat_publish(chat, ARGV[2]) end
if ARGV[3] == '1' then chat_publish(chat, '{"event":"revoked"}') end
return 'changed'
