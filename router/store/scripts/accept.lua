#!lua
-- Puts an inbound message at the end of its conversation's lane, once. If flows of its address have conditions, a
-- conversation may keep its flow instead of the chosen one.
--
-- Besides its keys it writes those of lane.lua, taken.lua and migration.lua, and the contact of which an address in its
-- keys is an alias.
--include clock
--include lane
--include contact_link
--include taken
--include chat
--include migration
--include choice
--
-- KEYS 1 message  hash    the message: facts (raw, lane, flow, language, why, at, token) and state
--      2 lane     list    ids of the conversation's messages not done yet, oldest first
--      3 log      zset    every message of the account -> ms of its acceptance
--      4 dead     zset    undelivered and unrouted messages of the account -> ms
--      …          for a web chat only: its hash, its messages, the account's chats (chat.lua)
--      …          hash    the address entries that the route came from, as many as there are versions
--      …          hash    the contact's key under each of its addresses in the message; none without a choice
-- ARGV 1 token        random, made by the caller; the same if the caller repeats a call because its reply was lost
--      2 disposition  queue | unrouted | redirected
--      3 lane id   4 message id   5 lease in ms, 0 for none
--      6 retention in ms of an unrouted message   7 of a redirected one
--      8 ms since the caller last heard from the store (clock.lua)
--      9 ms for which a message without a lease is not sent unless confirm.lua confirms it; 0 without required replicas
--      10 choice      JSON, see choice.lua; '' if no flow of the address has a condition
--      11 chat        JSON: index, epoch, keep in ms, entry (its message); '' unless it is a web chat
--      12 number of versions, then the versions ('' for "no such entry")
--      …              field value field value … written once
--
-- Returns {leased, now, 'sending', flow, language, kept 0|1|2}
--       | {accepted, now, state of the lane's head, flow, language, kept 0|1|2}
--       | {stale, now}, with version, preference, language and learned of the contact if these have changed
--       | {duplicate, now, state, answer, answered, flow, state of the lane's head}; if its record has expired, state
--         is 'expired' and the rest is ''
--       | {chat, now, why, index}: nothing is written, because the chat is `gone`, `closed` or `revoked`, or its next
--         message has another index (`moved`)
local function parse(text) return text ~= '' and cjson.decode(text) or nil end

local message, lane, log, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, disposition, lane_id, id, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local unconfirmed, choice, chat, versions = tonumber(ARGV[9]), parse(ARGV[10]), parse(ARGV[11]), tonumber(ARGV[12])
local entries = chat and 7 or 4 -- the number of keys before those of the address entries
local account = account_of(id)
local now, lease_now, order = clocks(tag, tonumber(ARGV[8])) -- with microseconds: the order within a millisecond

local function head_state()
  local head = redis.call('LINDEX', lane, 0)
  if not head then return '' end
  return redis.call('HGET', messages .. head, 'state') or ''
end

-- 1. Is the message known? If it was answered 503 and is received again, it is accepted as a new one.
local seen = redis.call('HMGET', message, 'state', 'token', 'lease', 'answer', 'answered', 'flow', 'language', 'kept',
  'doubt')
local doubted = seen[9] and seen[2] ~= token
if seen[1] and not doubted then
  if seen[2] == token then
    -- A write, so that WAIT on a new connection covers the message (ROUTER_REDIS_REPLICAS).
    redis.call('HSET', message, 'token', token)
    local kind = seen[3] == token and 'leased' or 'accepted'
    return {kind, now, head_state(), seen[6] or '', seen[7] or '', tonumber(seen[8] or 0)}
  end
  redis.call('HINCRBY', message, 'duplicates', 1)
  return {'duplicate', now, seen[1], seen[4] or '', seen[5] or '', seen[6] or '', head_state()}
end

-- 2. Does the chat take the message, at this index?
local in_chat -- the index of a message in doubt, which is in the chat's list already
if chat then
  chat.hash, chat.list, chat.all = KEYS[5], KEYS[6], KEYS[7]
  local state, epoch = unpack(redis.call('HMGET', chat.hash, 'state', 'epoch'))
  if not state then return {'chat', now, 'gone', 0} end
  if epoch ~= chat.epoch then return {'chat', now, 'revoked', 0} end
  if state == 'closed' then return {'chat', now, 'closed', 0} end
  in_chat = doubted and redis.call('HGET', message, 'index')
  local index = tonumber(in_chat or chat_next(chat.hash, chat.list))
  if index ~= chat.index then return {'chat', now, 'moved', index} end
end

-- 3. Were the flows of the address changed since the route was made?
for i = 1, versions do
  if (redis.call('HGET', KEYS[entries + i], 'version') or '') ~= ARGV[12 + i] then return {'stale', now} end
end

-- 4. Which flow takes the message: the chosen one, or another one that the conversation keeps or moves to?
local contact, contact_keys, other
local move = choice and choice.migrate
if choice then
  contact_keys = {unpack(KEYS, entries + versions + 1)}
  contact = find_contact(contact_keys)
  local c = redis.call('HMGET', contact, 'stay ' .. choice.ours, 'version', 'preference', 'language', 'learned')
  if move then want_sessions(move, account, now) end
  other = keeps(choice, c[1], now)
  if not (other or choice.final or choice.settled or (c[2] or '') == choice.known) then
    return {'stale', now, c[2] or '', c[3] or '', c[4] or '', c[5] or ''}
  end
  other = moves(choice, other, account, lane, lane_id, {contact, unpack(contact_keys)}) or other
  if other then
    disposition = other.disposition
    if other.flow ~= choice.chosen then lease = choice.lease end
    if disposition ~= 'queue' then lease = 0 end
  end
end

-- 5. The record, the chat and the contact.
if doubted then
  redis.call('DEL', message)
  redis.call('ZREM', dead, id)
elseif taken_before(log, id, now) then
  return {'duplicate', now, 'expired', '', '', '', ''}
end
local record = {token = token, lane = lane_id, at = now}
for i = 13 + versions, #ARGV, 2 do record[ARGV[i]] = ARGV[i + 1] end
local kept = other and (other.moved and 2 or 1) or 0
if other then
  local how = other.moved and 'The contact moves to ' or 'The conversation stays with '
  record.why = record.why .. '\n' .. how .. other.flow .. (other.language ~= '' and ' in ' .. other.language or '')
  record.flow, record.language, record.kept, record.error = other.flow, other.language, kept, nil
end
local flow, language = record.flow or '', record.language or ''
if chat then
  if not in_chat then chat_append(chat.hash, chat.list, chat.all, chat.entry, chat.keep) end
  redis.call('HSET', chat.hash, 'served', flow)
end
if choice then
  local taken = other or {flow = flow, language = language, confident = choice.confident}
  write_contact(choice, contact, contact_keys, taken, kept > 0, token, now)
end
if move then
  count(move, account, flow == move.to and 'to' or 'from')
  if flow == move.from then goes_to_proxy(move, account, lane_id) end
end

-- 6. The message: in its lane, leased if it is the head; or with its final state, unrouted or redirected.

-- Writes the message's record with this state and these fields, and adds the message to the log.
local function write(state, ...)
  local fields = {'state', state, ...}
  for name, value in pairs(record) do fields[#fields + 1], fields[#fields + 2] = name, value end
  redis.call('HSET', message, unpack(fields))
  redis.call('ZADD', log, order, id)
end

if disposition ~= 'queue' then
  write(disposition)
  redis.call('PEXPIRE', message, disposition == 'unrouted' and ARGV[6] or ARGV[7])
  if disposition == 'unrouted' then redis.call('ZADD', dead, order, id) end
  return {'accepted', now, '', flow, language, kept}
end
redis.call('HINCRBY', queued, account, 1)
local first = redis.call('RPUSH', lane, id) == 1
if first and lease > 0 then
  write('sending', 'lease', token, 'attempts', 1)
  redis.call('ZADD', leases, lease_now + lease, lane_id)
  return {'leased', now, 'sending', flow, language, kept}
end
if unconfirmed > 0 then record.unconfirmed = now + unconfirmed end
write('queued')
if not first then return {'accepted', now, head_state(), flow, language, kept} end
enter(lane_id, set_of(id, record.flow), math.max(now, record.unconfirmed or 0))
return {'accepted', now, 'queued', flow, language, kept}
