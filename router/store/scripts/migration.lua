-- Included by accept.lua. During a migration the contacts of one flow (`from`) move to another flow (`to`) of the same
-- address. A contact that is, or may be, in a Proxy session stays. Keys:
--   proxied:{b}:<AC>           set    ids of the contacts in a live session, and 'complete'; expires when out of date
--   proxied_wanted:{b}         hash   "<AC> <KS>" whose sessions shall be listed -> ms of the last request for it
--   proxying:{b}:<AC>:<lane>   string exists if the conversation went to Proxy so recently that the list may lack it
--   proxying:{b}:<AC>:<from>   string exists if any conversation of the flow did
--   migration:{b}:<AC>:<from>  hash   counts: moved, session, unknown contacts; from, to: messages
local DAY = 86400000
local PROXYING = 300 -- s; router.store.proxied.SENDING_SECONDS

local function count(m, account, name)
  local key = 'migration:' .. tag .. ':' .. account .. ':' .. m.from
  redis.call('HINCRBY', key, name, 1)
  redis.call('PEXPIRE', key, 90 * DAY)
end

-- Requests the list of the Proxy service's sessions.
local function want_sessions(m, account, now)
  if m.proxy then redis.call('HSET', 'proxied_wanted:' .. tag, account .. ' ' .. m.service, now) end
end

-- Records that a message goes to Proxy, which may begin a session; lists of sessions contain it only some time later.
local function goes_to_proxy(m, account, lane_id)
  if not m.proxy then return end
  for _, id in ipairs({lane_id, m.from}) do
    redis.call('SET', 'proxying:' .. tag .. ':' .. account .. ':' .. id, 1, 'EX', PROXYING)
  end
end

-- Why a contact has to stay: 'session' if it is in one or its lane has messages, 'unknown' if there is no current list
-- of sessions; '' if it may move.
local function why_stays(m, account, lane, lane_id, contacts)
  if redis.call('EXISTS', lane) == 1 then return 'session' end
  if not m.proxy then return '' end
  if redis.call('EXISTS', 'proxying:' .. tag .. ':' .. account .. ':' .. lane_id) == 1 then return 'session' end
  local listed = 'proxied:' .. tag .. ':' .. account
  if redis.call('SISMEMBER', listed, 'complete') == 0 then return 'unknown' end
  for _, key in ipairs(contacts) do
    if redis.call('SISMEMBER', listed, last_part(key)) == 1 then return 'session' end
  end
  return ''
end
