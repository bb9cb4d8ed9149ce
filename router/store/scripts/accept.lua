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
--
-- KEYS 1 message  hash    the message: facts (raw, lane, flow, language, why, at, token) and state
--      2 lane     list    ids of the conversation's messages not done yet, oldest first
--      3 log      zset    every message of the account -> ms of its acceptance
--      4 dead     zset    undelivered and unrouted messages of the account -> ms
--      5…         hash    the address entries that the route came from, as many as there are versions
--      …          hash    the contact's key under each of its addresses in the message; none without a choice
--      …          for a web chat only, at the end: its hash, its messages, the account's chats (chat.lua)
-- ARGV 1 token        random, made by the caller; the same if the caller repeats a call because its reply was lost
--      2 disposition  queue | unrouted | redirected
--      3 lane id   4 message id   5 lease in ms, 0 for none
--      6 retention in ms of an unrouted message   7 of a redirected one
--      8 ms since the caller last heard from the store (clock.lua)
--      9 ms for which a message without a lease is not sent unless confirm.lua confirms it; 0 without required replicas
--      10 number of versions, then the versions ("" for "no such entry")
--      …              choice, '' if no flow of the address has a condition; else JSON:
--        ours, identities   the address written to; the contact's addresses, in the order of their keys
--        strength, confident  0 to 3, as router.routing.contact.Strength; whether a conversation keeps the chosen flow
--        language           of the message, '' if undecided
--        candidates         flow -> [disposition, ms that the conversation may be idle, -1 without limit]
--        chosen, lease      the flow chosen; the lease in ms if the conversation stays with another one
--        known, final       the contact's version that the choice used; whether the choice holds for any version
--        migrate            from, to, share, drain, proxy, service as router.routing.contact.Migration, or null
--        learned, preference, transient, keep   as router.routing.contact.Choice; ms that a contact is kept
--      …              chat, '' unless it is a web chat; else JSON: index, epoch, keep in ms, entry (its message)
--      …              field value field value … written once
--
-- Returns {leased, now, 'sending', flow, language, kept 0|1|2}
--       | {accepted, now, state of the lane's head, flow, language, kept 0|1|2}
--       | {stale, now}, with version, preference, language and learned of the contact if these have changed
--       | {duplicate, now, state, answer, answered, flow, state of the lane's head}; if its record has expired, state
--         is 'expired' and the rest is ''
--       | {chat, now, why, index}: nothing is written, because the chat is `gone`, `closed` or `revoked`, or its next
--         message has another index (`moved`)
local message, lane, log, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local token, disposition, lane_id, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local lease, unconfirmed, versions = tonumber(ARGV[5]), tonumber(ARGV[9]), tonumber(ARGV[10])
local now, lease_now, order = clocks(tag, tonumber(ARGV[8])) -- with microseconds: the order within a millisecond

local function head_state()
  local head = redis.call('LINDEX', lane, 0)
  if not head then return '' end
  return redis.call('HGET', messages .. head, 'state') or ''
end

local seen = redis.call('HMGET', message, 'state', 'token', 'lease', 'answer', 'answered', 'flow', 'language', 'kept',
  'doubt')
local doubted = seen[9] and seen[2] ~= token -- answered 503 before, and received again: accepted as a new message
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
local chat = ARGV[12 + versions] ~= '' and cjson.decode(ARGV[12 + versions])
local last, before -- the place of the contact's last key; the index of a message in doubt, already in the chat's list
if chat then
  last = #KEYS - 3
  chat.hash, chat.list, chat.all = KEYS[last + 1], KEYS[last + 2], KEYS[last + 3]
  local c = redis.call('HMGET', chat.hash, 'state', 'epoch')
  if not c[1] then return {'chat', now, 'gone', 0} end
  if c[2] ~= chat.epoch then return {'chat', now, 'revoked', 0} end
  if c[1] == 'closed' then return {'chat', now, 'closed', 0} end
  before = doubted and redis.call('HGET', message, 'index')
  local index = tonumber(before or chat_next(chat.hash, chat.list))
  if index ~= chat.index then return {'chat', now, 'moved', index} end
else
  last = #KEYS
end
for i = 1, versions do
  if (redis.call('HGET', KEYS[4 + i], 'version') or '') ~= ARGV[10 + i] then return {'stale', now} end
end

local choice = ARGV[11 + versions] ~= '' and cjson.decode(ARGV[11 + versions])
local contact, flow, language, firm, kept -- kept: the conversation keeps its flow, be it the chosen one or another
local move, moved
if choice then
  -- The first address that is known decides which contact this is.
  for i = 5 + versions, last do
    contact = contact_of(KEYS[i])
    if contact then break end
  end
  contact = contact or KEYS[5 + versions]
  local c = redis.call('HMGET', contact, 'stay ' .. choice.ours, 'version', 'preference', 'language', 'learned')
  local candidate
  move = choice.migrate ~= cjson.null and choice.migrate or nil
  if move then want_sessions(move, account_of(id), now) end
  if c[1] then
    local at
    flow, firm, at, language = string.match(c[1], '^(%S+) (%d) (%d+) (.*)$')
    candidate = choice.candidates[flow]
    local another = language ~= '' and language ~= choice.language
    kept = candidate and (candidate[2] < 0 or now - tonumber(at) <= candidate[2])
      and (choice.strength < (firm ~= '1' and 1 or another and 2 or 3) or (move and (flow == move.from or flow == move.to)))
  end
  local settled = kept or choice.final or choice.settled or (c[2] or '') == choice.known
  if move and settled and not choice.transient and move.share and (not kept or (flow == move.from and move.drain)) then
    local account, contacts = account_of(id), {contact}
    for i = 5 + versions, last do contacts[#contacts + 1] = KEYS[i] end
    local why = why_stays(move, account, lane, lane_id, contacts)
    if why == '' then
      moved, kept, flow, firm, language, candidate = true, true, move.to, '0', choice.language, choice.candidates[move.to]
    end
    count(move, account, why == '' and 'moved' or why)
  end
  if kept then
    disposition = candidate[1]
    if flow ~= choice.chosen then lease = choice.lease end
    if disposition ~= 'queue' then lease = 0 end
  elseif not choice.final and not choice.settled and (c[2] or '') ~= choice.known then
    return {'stale', now, c[2] or '', c[3] or '', c[4] or '', c[5] or ''}
  end
end

if doubted then
  redis.call('DEL', message)
  redis.call('ZREM', dead, id)
elseif taken_before(log, id, now) then
  return {'duplicate', now, 'expired', '', '', '', ''}
end
local record = {token = token, lane = lane_id, at = now}
for i = 13 + versions, #ARGV, 2 do record[ARGV[i]] = ARGV[i + 1] end
if chat and not before then chat_append(chat.hash, chat.list, chat.all, chat.entry, chat.keep) end
if kept then
  local how = moved and 'The contact moves to ' or 'The conversation stays with '
  record.why = record.why .. '\n' .. how .. flow .. (language ~= '' and ' in ' .. language or '')
  record.flow, record.language, record.kept, record.error = flow, language, moved and 2 or 1, nil
elseif choice then
  flow, language, firm = record.flow or '', record.language or '', choice.confident
end
if chat then redis.call('HSET', chat.hash, 'served', flow or record.flow or '') end
if choice and (not choice.transient or choice.preference ~= '') then
  if choice.transient then
    redis.call('HDEL', contact, 'stay ' .. choice.ours) -- the preference decides the flow of the next message
  elseif flow ~= '' then
    redis.call('HSET', contact, 'stay ' .. choice.ours, flow .. ' ' .. firm .. ' ' .. now .. ' ' .. language)
    if choice.candidates[flow] and choice.candidates[flow][2] < 0 then redis.call('HSET', contact, 'lasting', 1) end
  end
  if choice.learned ~= '' and not (kept or choice.transient) then
    redis.call('HSET', contact, 'learned', choice.learned, 'version', token)
  end
  if choice.preference ~= '' then
    redis.call('HSET', contact, 'preference', choice.preference, 'version', token, 'lasting', 1)
  end
  for i, identity in ipairs(choice.identities) do link(contact, KEYS[4 + versions + i], identity, token) end
  keep(contact, choice.keep)
end

if move then
  count(move, account_of(id), flow == move.to and 'to' or 'from')
  if flow == move.from then goes_to_proxy(move, account_of(id), lane_id) end
end
-- Writes the message's record with this state and these fields, and adds the message to the log.
local function write(state, ...)
  local fields = {'state', state, ...}
  for name, value in pairs(record) do fields[#fields + 1], fields[#fields + 2] = name, value end
  redis.call('HSET', message, unpack(fields))
  redis.call('ZADD', log, order, id)
end

local went = moved and 2 or kept and 1 or 0
if disposition ~= 'queue' then
  write(disposition)
  redis.call('PEXPIRE', message, disposition == 'unrouted' and ARGV[6] or ARGV[7])
  if disposition == 'unrouted' then redis.call('ZADD', dead, order, id) end
  return {'accepted', now, '', flow or '', language or '', went}
end
redis.call('HINCRBY', queued, account_of(id), 1)
local first = redis.call('RPUSH', lane, id) == 1
if first and lease > 0 then
  write('sending', 'lease', token, 'attempts', 1)
  redis.call('ZADD', leases, lease_now + lease, lane_id)
  return {'leased', now, 'sending', flow or '', language or '', went}
end
if unconfirmed > 0 then record.unconfirmed = now + unconfirmed end
write('queued')
if not first then return {'accepted', now, head_state(), flow or '', language or '', went} end
enter(lane_id, set_of(id, record.flow), math.max(now, record.unconfirmed or 0))
return {'accepted', now, 'queued', flow or '', language or '', went}
