-- Included by accept.lua. A flow that is migrated (`from`) gives way to another one (`to`) of the same address, contact by
-- contact. A contact that is, or may be, in a Proxy session stays. What is known of sessions:
--   proxied:{b}:<AC>           set    ids of the contacts in a live session, and 'complete'; gone when it is out of date
--   proxied_wanted:{b}         hash   "<AC> <KS>" -> ms when it was asked for: whose sessions are to be listed
--   proxying:{b}:<AC>:<lane>   string that the conversation was sent to Proxy so shortly that the list may not say so
--   proxying:{b}:<AC>:<from>   string the same of any conversation of the flow
--   migration:{b}:<AC>:<from>  hash   counts: moved, session, unknown contacts; from, to: messages
local DAY = 86400000
local PROXYING = 300 -- s; router.store.proxied.SENDING_SECONDS

local function count(m, account, name)
  local key = 'migration:' .. tag .. ':' .. account .. ':' .. m.from
  redis.call('HINCRBY', key, name, 1)
  redis.call('PEXPIRE', key, 90 * DAY)
end

-- Lets the sessions be listed while a flow is migrated.
local function want_sessions(m, account, now)
  if m.proxy then redis.call('HSET', 'proxied_wanted:' .. tag, account .. ' ' .. m.service, now) end
end

-- Says that a message goes to Proxy, which may begin a session; a list of sessions has it some time later.
local function goes_to_proxy(m, account, lane_id)
  if not m.proxy then return end
  for _, id in ipairs({lane_id, m.from}) do
    redis.call('SET', 'proxying:' .. tag .. ':' .. account .. ':' .. id, 1, 'EX', PROXYING)
  end
end

-- Why a contact has to stay: a message of it is on its way, or it is in a session, or that is unknown. '' when it may move.
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
