#!lua flags=allow-oom
-- Takes back leases that have ended, and leases heads that are due. It is never repeated: if its reply is lost, the
-- heads that it leased are due again when their leases end.
--include clock
--include lane
--include lane_end
--
-- KEYS 1 due:{b}
-- ARGV 1 token   2 free slots: the maximum number of leases   3 lease in ms   4 retention in ms of buried messages
--      5 how many leases may end without a result before a message is buried   6 the same if the target is a handler
--      7 the place in the index to begin at, 0 for its beginning, -1 for a random one   8 how many due sets are read
--      9 JSON: the slots that the caller uses and may still use, as router.store.lease.Room
--      10 ms since the caller last heard from the store (clock.lua)
--
-- Returns {now, the place to continue from, 1 if due heads are left because the caller's slots do not suffice, else 0,
--   {account, flow, its record or '', entry, entry, …}, …}, an entry as in lane.lua
local token, free, lease, retention = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local place, looks, room = tonumber(ARGV[7]), tonumber(ARGV[8]), cjson.decode(ARGV[9])
local BYTES = 4 * 1024 * 1024 -- of messages in one reply, about
local now, lease_now = clocks(tag, tonumber(ARGV[10]))

-- 1. Leases that have ended: their holders have vanished.

-- Ends the head of a lane if it was delivered late, or lost too often; else it is sent again.
local function take_back(lane_id)
  local id = redis.call('LINDEX', lanes .. lane_id, 0)
  local m = id and redis.call('HMGET', messages .. id, 'lease', 'late', 'flow')
  if not id or not m[1] then return end
  if m[2] then
    done(lane_id, id, 'delivered', token, now, retention)
    return
  end
  local message, most = messages .. id, tonumber(ARGV[5])
  if string.find(flow_of(set_of(id, m[3])), '^handler:') then most = tonumber(ARGV[6]) end
  local lost = redis.call('HINCRBY', message, 'lost', 1)
  if lost >= most then
    redis.call('HSET', message, 'error', 'The process that was sending it vanished ' .. lost .. ' times')
    done(lane_id, id, 'undelivered', token, now, retention)
  else
    redis.call('HDEL', message, 'lease')
    redis.call('HSET', message, 'state', 'queued')
  end
end

for _, lane_id in ipairs(redis.call('ZRANGE', leases, '-inf', lease_now, 'BYSCORE', 'LIMIT', 0, looks)) do
  redis.call('ZREM', leases, lane_id)
  take_back(lane_id)
  wait(lane_id, now)
end

-- 2. Due sets, the longest waiting first: from each, as many heads as the caller has slots for.
local out, left, bytes = {now, 0, 0}, false, 0

-- Leases the head of a lane of a due set, and adds its entry to the set's group in the reply.
local function take(set, lane_id, group, resumed)
  local id = redis.call('LINDEX', lanes .. lane_id, 0)
  local head = id and read_head(id)
  redis.call('ZREM', due .. ':' .. set, lane_id)
  if not id or not head[1] or set_of(id, head[2]) ~= set then
    wait(lane_id, now) -- its head's record was removed by hand: the next head may have another flow
    return
  end
  local e = lend(id, lane_id, token, lease_now + lease, head, resumed)
  bytes = bytes + #e[3]
  group[#group + 1] = e
end

-- How many slots may be added to `has` until it is `factor` times the slots still free, but not fewer than `least`.
local function more(has, factor, least)
  return math.max(least, math.ceil((factor * free - has) / (1 + factor)))
end

-- Leases heads of a due set: at most as many as its account, and its target, may have slots for.
local function take_from(set)
  local account = account_of(set)
  local account_has = room.accounts[account] or 0
  local least = (room.factor > 0 and account_has == 0) and 1 or 0
  local wanted = room.factor > 0 and more(account_has, room.factor, least) or free
  if wanted == 0 then
    left = true
    return
  end
  local target, paused, validity = flow_of(set)
  if paused == '1' then return end
  local resumed = redis.call('GET', 'resumed:' .. tag .. ':' .. set)
  local key, before, name = account .. ' ' .. target, now, room.names[target]
  local has = room.targets[key] or {0, room.share}
  local shut = room.shut[target] or room.shut[key]
  if shut or has[1] >= has[2] then
    -- This target gets no message now. But heads that have been due for longer than their ValidityPeriod are too old:
    -- they are handed out to be settled.
    left = left or not shut
    key, before, name = account .. ' none', now - validity, nil
    if tonumber(resumed or 0) > before then before = -1 end
    has = room.targets[key] or {0, room.share}
  end
  wanted = math.min(wanted, has[2] - has[1], more(has[1], 1, least), name or wanted)
  local due_lanes = redis.call('ZRANGE', due .. ':' .. set, '-inf', before, 'BYSCORE', 'LIMIT', 0, wanted)
  local group = {account, string.sub(set, 36), ''}
  for _, lane_id in ipairs(due_lanes) do
    if bytes < BYTES then take(set, lane_id, group, resumed) end
  end
  local taken = #group - 3
  if taken > 0 then
    group[3] = redis.call('GET', flows .. set) or ''
    free = free - taken
    room.accounts[account] = account_has + taken
    room.targets[key] = {has[1] + taken, has[2]}
    if name then room.names[target] = name - taken end
    out[#out + 1] = group
  end
  if #due_lanes > 0 then refresh(set) end
  left = left or (not shut and #due_lanes == wanted)
end

if place < 0 then
  -- A random place, most often near the end: due sets that became due last have their turn soon, and older ones are
  -- claimed in any case, because other claims begin at the beginning.
  local random = tonumber(string.sub(redis.sha1hex(token), 1, 8), 16) / 2 ^ 32
  place = math.floor(redis.call('ZCARD', due) * random ^ 0.25)
end
local sets, seen = redis.call('ZRANGE', due, place, place + looks - 1, 'WITHSCORES'), 0
if not sets[1] and place > 0 then
  place, sets = 0, redis.call('ZRANGE', due, 0, looks - 1, 'WITHSCORES')
end
local ended -- the place at which the free slots were used up; after it, only an account without a slot gets one
while seen < #sets / 2 and bytes < BYTES and tonumber(sets[2 * seen + 2]) <= now do
  if free <= 0 and not ended then
    ended = seen
    if room.factor == 0 then break end
  end
  seen = seen + 1
  take_from(sets[2 * seen - 1])
end
if ended or seen == looks or bytes >= BYTES then out[2] = place + (ended or seen) end
if left or ended then out[3] = 1 end
return out
