#!lua
-- Writes flows of one account together, all or none: their records, their address entries with a new version, the
-- account's indexes, and what changed. Besides its keys it writes accounts:{b} (see present.lua).
--include clock
--
-- KEYS 1 flows     zset     SIDs of the account's flows -> place: µs of the creation, unique, in the order of creation
--      2 changes   stream   what was done to the account's flows: flow, by, change (JSON); trimmed
--      3 languages set      languages that flows of the bucket name or named, whose models are loaded (languages.py)
--      and for each flow:
--      1 flow      string   "<target> <paused 0|1> <validity in s> <json>"; if it is resumed, resumed:{b}:<AC>:<FO> is
--                           written too: the time of a pause does not count for a message's age (lane.lua)
--      2 address   hash     the entry that the flow belongs to now: version, and for each flow's SID
--                           "<steps of its Match> <channel of a flow without Language and Match, else -> <enabled 0|1>"
--      3 before    hash     the entry that it belonged to (the same key when it did not move)
--      4 named     zset     flows of similar FriendlyName -> place (see keys.py)
--      5 named before       the same for the FriendlyName that the flow had
--      6 proxying  string   exists if a message may have begun a session of Proxy recently (migration.lua)
-- ARGV 1 new version   2 prefix of the account's flow records   3 flows that an address may have
--      4 steps that their Match may take together   5 who changes them   6 changes kept, about
--      7 languages that the flows name, separated by spaces
--      and for each flow:
--      1 sid   2 record, '' to remove it   3 the record that the caller read, '' to create   4 channel type
--      5 which other default flow (without Language and Match) is a conflict: 'enabled', 'any', '' for none
--      6 its field in the address entry   7 what changed   8 '1' to refuse the write while KEYS 6 exists
--
-- Returns {ok} | {changed, which flow, its current record} (it was written concurrently)
--       | {conflict, which flow, sid of the other default} | {full, which flow}
--       | {busy, which flow} (a message went to Proxy)
--       | {slow, which flow, steps of the other flows of its address}; flows are counted from 1
local version, prefix, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local VALIDITY_MOST = 14 * 86400 * 1000 -- the longest ValidityPeriod: after it, no message of the pause is left
local time = redis.call('TIME')
local tag = string.match(KEYS[1], '{[^}]*}')

-- 1. The writes: all of them are refused if one is out of date.
local writes, ours = {}, {}
local more = {} -- address entry -> by how many flows the writes enlarge it
for i = 1, (#KEYS - 3) / 6 do
  local k, a = 3 + (i - 1) * 6, 7 + (i - 1) * 8
  local w = {
    flow = KEYS[k + 1], address = KEYS[k + 2], before = KEYS[k + 3], named = KEYS[k + 4], named_before = KEYS[k + 5],
    sid = ARGV[a + 1], record = ARGV[a + 2], expected = ARGV[a + 3], channel = ARGV[a + 4], rule = ARGV[a + 5],
    summary = ARGV[a + 6], change = ARGV[a + 7],
  }
  local current = redis.call('GET', w.flow) or ''
  if current ~= w.expected then return {'changed', i, current} end
  if ARGV[a + 8] == '1' and redis.call('EXISTS', KEYS[k + 6]) == 1 then return {'busy', i} end
  writes[i], ours[w.sid] = w, true
  local gone, comes = w.record == '' or w.before ~= w.address, w.record ~= ''
  if w.expected ~= '' and gone then more[w.before] = (more[w.before] or 0) - 1 end
  if comes and (w.expected == '' or gone) then more[w.address] = (more[w.address] or 0) + 1 end
end

-- 2. The limits of the addresses, and conflicts of their default flows.

-- The flows of an address before this write: sid -> {steps, channel of a default flow, enabled '0' or '1'}.
local known = {}
local function flows_of(address)
  if not known[address] then
    known[address] = {}
    local fields = redis.call('HGETALL', address)
    for n = 1, #fields, 2 do
      local steps, channel, enabled = string.match(fields[n + 1], '^(%d+) (%S+) (%d)$')
      if steps and fields[n] ~= 'version' then known[address][fields[n]] = {tonumber(steps), channel, enabled} end
    end
  end
  return known[address]
end

-- Returns the steps of an address's other flows if the flow would exceed the limit with them; else false.
local steps = {}
local function too_slow(w)
  local mine = tonumber(string.match(w.summary, '^%d+'))
  local before = flows_of(w.address)[w.sid]
  if not steps[w.address] then
    steps[w.address] = 0
    for sid, f in pairs(flows_of(w.address)) do
      if not ours[sid] then steps[w.address] = steps[w.address] + f[1] end
    end
  end
  local others = steps[w.address]
  steps[w.address] = others + mine
  -- A flow that takes no more steps than before may be written: another version may count steps differently.
  return mine > (before and before[1] or 0) and others + mine > tonumber(ARGV[4]) and others
end

local defaults = {}
for i, w in ipairs(writes) do
  if w.record ~= '' and (more[w.address] or 0) > 0 and redis.call('HLEN', w.address) - 1 + more[w.address] > most then
    return {'full', i}
  end
  if w.rule ~= '' then
    local place = w.address .. ' ' .. w.channel
    if defaults[place] then return {'conflict', i, defaults[place]} end
    defaults[place] = w.sid
    for other, f in pairs(flows_of(w.address)) do
      if not ours[other] and f[2] == w.channel and (f[3] == '1' or w.rule == 'any') then
        return {'conflict', i, other}
      end
    end
  end
  if w.record ~= '' then
    local others = too_slow(w)
    if others then return {'slow', i, others} end
  end
end

-- 3. Nothing is refused any more.

-- Removes a flow from the address entry that it belonged to; an entry without flows is removed.
local function leave_address(w)
  redis.call('HDEL', w.before, w.sid)
  if redis.call('HLEN', w.before) <= 1 then
    redis.call('DEL', w.before)
  else
    redis.call('HSET', w.before, 'version', version)
  end
end

-- Returns a flow's place in the account's list; a new flow gets the last one.
local function place_of(sid)
  local place = redis.call('ZSCORE', KEYS[1], sid)
  if place then return place end
  local new = time[1] * 1000000 + time[2]
  local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')[2]
  if last and tonumber(last) >= new then new = tonumber(last) + 1 end
  place = string.format('%.0f', new)
  redis.call('ZADD', KEYS[1], place, sid)
  return place
end

-- The account is in use, even if no router has it in its settings yet (present.lua).
redis.call('HSET', 'accounts' .. string.sub(KEYS[3], 10), string.sub(KEYS[1], -34), 0)
for language in string.gmatch(ARGV[7], '%S+') do redis.call('SADD', KEYS[3], language) end
for _, w in ipairs(writes) do
  local removed = w.record == ''
  if removed or w.before ~= w.address then leave_address(w) end
  if removed or w.named_before ~= w.named then redis.call('ZREM', w.named_before, w.sid) end
  if removed then
    redis.call('DEL', w.flow)
    redis.call('ZREM', KEYS[1], w.sid)
  else
    if string.find(w.expected, '^%S+ 1 ') and string.find(w.record, '^%S+ 0 ') then
      redis.call('SET', 'resumed' .. string.sub(prefix, 5) .. w.sid, clocks_read(tag), 'PX', VALIDITY_MOST)
    end
    redis.call('SET', w.flow, w.record)
    redis.call('HSET', w.address, 'version', version, w.sid, w.summary)
    redis.call('ZADD', w.named, place_of(w.sid), w.sid)
  end
  redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '*', 'flow', w.sid, 'by', ARGV[5], 'change', w.change)
end
return {'ok'}
