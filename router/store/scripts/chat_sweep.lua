#!lua flags=allow-oom
-- The janitor: closes chats that were idle for too long, and removes expired chats from the index. It also returns the
-- chats whose integration has yet to be notified that they were closed.
--include chat
--
-- KEYS 1 chats   zset
-- ARGV 1 the score to begin at, '-inf' for the first page   2 page size   3 prefix of chats   4 of their messages
--      5 ms that a closed chat is kept   6 prefix of the chats of identities
--
-- Returns {chats read, closed, dropped, score of the last one, SID of a chat whose integration is to be notified…}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local entries = redis.call('ZRANGE', KEYS[1], ARGV[1], now, 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
local closed, gone, untold = 0, {}, {}
for i = 1, #entries, 2 do
  local id, chat = entries[i], ARGV[3] .. entries[i]
  local c = redis.call('HMGET', chat, 'state', 'idle', 'updated', 'served', 'untold', 'listed')
  for listed in string.gmatch(c[6] or '', '%x+') do
    if redis.call('PTTL', ARGV[6] .. listed) < ARGV[5] / 2 then chat_list(chat, ARGV[6] .. listed, ARGV[5]) end
  end
  local idle = tonumber(c[2] or 0)
  if not c[1] then
    gone[#gone + 1] = id
  elseif c[5] then
    untold[#untold + 1] = id
  elseif c[1] ~= 'closed' and idle > 0 and tonumber(c[3]) + idle < now then
    redis.call('HSET', chat, 'state', 'closed', 'closed_by', 'janitor')
    chat_mark_untold(chat, c[1], c[4])
    redis.call('PEXPIRE', chat, ARGV[5])
    redis.call('PEXPIRE', ARGV[4] .. id, ARGV[5])
    chat_publish(chat, '{"event":"state"}')
    closed = closed + 1
    if c[4] then untold[#untold + 1] = id end
  end
end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {#entries / 2, closed, #gone, entries[#entries] or ARGV[1], unpack(untold)}
