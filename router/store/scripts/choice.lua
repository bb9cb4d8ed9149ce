-- Included by accept.lua: which of several flows of an address takes a message, and what the contact keeps of that.
-- `choice` is the JSON of router.store.lanes, from router.routing.contact.Choice:
--   ours, identities   the address written to; the contact's addresses, in the order of their keys
--   strength, confident  0 to 3, as router.routing.contact.Strength; 0 | 1: whether the conversation keeps the flow
--   language           of the message, '' if undecided
--   candidates         flow -> {disposition, ms that the conversation may be idle, -1 without limit}
--   chosen, lease      the flow chosen; the lease in ms if the conversation stays with another one
--   known              the contact's version that the choice used
--   settled, final     whether the contact's languages cannot change the choice; whether it holds for any version
--   migrate            from, to, share, drain, proxy, service as router.routing.contact.Migration; or missing
--   learned, preference, transient, keep   as router.routing.contact.Choice; ms that a contact is kept
--
-- A conversation has the flow that a contact's last messages to one address went to; the contact stores it in its field
-- `stay <ours>` (contact_link.lua).

-- The contact of these addresses: the one that the first known address belongs to, else a new one.
local function find_contact(keys)
  for _, key in ipairs(keys) do
    local found = contact_of(key)
    if found then return found end
  end
  return keys[1]
end

-- The flow that a conversation keeps, as {flow, language, confident, disposition}; nil if it takes the chosen one. It
-- keeps its flow while that is a candidate, was used recently enough, and the message is no evidence against it that is
-- strong enough. Between the two flows of a migration only the migration decides. router.routing.contact.keeps is the
-- same rule.
local function keeps(choice, conversation, now)
  if not conversation then return nil end
  local flow, confident, at, language = string.match(conversation, '^(%S+) (%d) (%d+) (.*)$')
  local candidate, move = choice.candidates[flow], choice.migrate
  if not candidate or (candidate[2] >= 0 and now - tonumber(at) > candidate[2]) then return nil end
  local kept = {flow = flow, language = language, confident = confident, disposition = candidate[1]}
  if move and (flow == move.from or flow == move.to) then return kept end
  local strong_enough = 3
  if confident ~= '1' then
    strong_enough = 1
  elseif language ~= '' and language ~= choice.language then
    strong_enough = 2
  end
  return choice.strength < strong_enough and kept or nil
end

-- The flow that a contact moves to in a migration, as `keeps` returns it, with `moved`; nil if it stays. `kept` is the
-- result of `keeps`. Counts the contacts that move, and those that must stay. router.routing.contact.moves is the same
-- rule.
local function moves(choice, kept, account, lane, lane_id, contacts)
  local move = choice.migrate
  if not (move and move.share) or choice.transient then return nil end
  if kept and not (kept.flow == move.from and move.drain) then return nil end
  local why = why_stays(move, account, lane, lane_id, contacts)
  count(move, account, why == '' and 'moved' or why)
  if why ~= '' then return nil end
  local disposition = choice.candidates[move.to][1]
  return {flow = move.to, language = choice.language, confident = '0', disposition = disposition, moved = true}
end

-- Writes what a contact keeps of a message: `taken` is the flow that takes it, as `keeps` returns it; `kept` whether the
-- conversation had or moved to this flow, so that the message taught nothing; `token` becomes the contact's version if
-- its languages change. `keys` are those of its addresses.
local function write_contact(choice, contact, keys, taken, kept, token, now)
  local conversation = 'stay ' .. choice.ours
  if choice.transient then
    if choice.preference == '' then return end
    redis.call('HDEL', contact, conversation) -- the preference decides the flow of the next message
  elseif taken.flow ~= '' then
    local value = taken.flow .. ' ' .. taken.confident .. ' ' .. now .. ' ' .. taken.language
    redis.call('HSET', contact, conversation, value)
    local candidate = choice.candidates[taken.flow]
    if candidate and candidate[2] < 0 then redis.call('HSET', contact, 'lasting', 1) end
  end
  if choice.learned ~= '' and not (kept or choice.transient) then
    redis.call('HSET', contact, 'learned', choice.learned, 'version', token)
  end
  if choice.preference ~= '' then
    redis.call('HSET', contact, 'preference', choice.preference, 'version', token, 'lasting', 1)
  end
  for i, identity in ipairs(choice.identities) do link(contact, keys[i], identity, token) end
  keep(contact, choice.keep)
end
