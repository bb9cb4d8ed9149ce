-- Included by the scripts that write into a web chat (router/store/chats.py).
--
--   chat:{b}:<AC>:<CH>            hash   the chat: state, identity, address, epoch, read marks, `first` (the index of
--                                        the oldest message kept), and what REST shows
--   chat_messages:{b}:<AC>:<CH>   list   its messages, JSON; a message's index is its place plus `first`
--   chats:{b}:<AC>                zset   the account's chats -> ms of the last activity
--   chat_identity:{b}:<AC>:<id>   zset   the chats of an identity -> ms of their beginning; a chat's `listed` has the
--                                        ids, and chat_sweep.lua keeps these sets for as long as their chats
--   Channel chat:{b}              events of chats, for open streams: a stream may miss one, so it reads the list
local CHAT_MOST = 1000 -- messages of a chat that are kept

-- The index that the next message gets.
local function chat_next(chat, list)
  return tonumber(redis.call('HGET', chat, 'first') or 0) + redis.call('LLEN', list)
end

-- Publishes an event, JSON, of the chat with this key.
local function chat_publish(chat, event)
  local tagged, id = string.match(chat, '^chat:({[^}]*}):(.*)$')
  redis.call('SPUBLISH', 'chat:' .. tagged, id .. ' ' .. event)
end

-- Adds a chat to an identity's list, which is kept for `ms`, and removes up to ten chats that no longer exist.
local function chat_list(chat, index, ms)
  local prefix = string.sub(chat, 1, -35)
  for _, other in ipairs(redis.call('ZRANGE', index, 0, 9)) do
    if redis.call('EXISTS', prefix .. other) == 0 then redis.call('ZREM', index, other) end
  end
  redis.call('ZADD', index, redis.call('HGET', chat, 'created') or 0, string.sub(chat, -34))
  redis.call('PEXPIRE', index, ms)
end

-- Keeps a chat for `keep` ms from now; 0 is without limit, for an open chat.
local function chat_keep(chat, list, chats, keep)
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', chat, 'updated', now)
  redis.call('ZADD', chats, now, string.sub(chat, -34))
  for _, key in ipairs({chat, list}) do
    if keep > 0 then redis.call('PEXPIRE', key, keep) else redis.call('PERSIST', key) end
  end
end

-- Marks a chat that is being closed and whose state was `before`, if an integration received messages of it (`served`):
-- the integration has yet to be notified.
local function chat_mark_untold(chat, before, served)
  if served and served ~= '' and before ~= 'closed' then redis.call('HSET', chat, 'untold', before) end
end

-- Appends a message, which makes an inactive chat active.
local function chat_append(chat, list, chats, entry, keep)
  local length = redis.call('RPUSH', list, entry)
  if length > CHAT_MOST then
    redis.call('LTRIM', list, length - CHAT_MOST, -1)
    redis.call('HINCRBY', chat, 'first', length - CHAT_MOST)
  end
  if redis.call('HGET', chat, 'state') == 'inactive' then redis.call('HSET', chat, 'state', 'active') end
  chat_keep(chat, list, chats, keep)
  chat_publish(chat, '{"event":"message"}')
end
