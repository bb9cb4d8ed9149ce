#!lua
-- Changes a contact, or creates it.
--include contact_link
-- KEYS 1… contact   hash   the contact's own address, then those that shall be its aliases
-- ARGV 1 version   random   2 JSON:
--        identities           the addresses, one for each key
--        preference language  new values, '' to remove the old one; absent, they stay
--        close                the address whose conversation ends, '*' for all of them, '' for none
--        stay                 [our address, flow, language]: the flow that a conversation shall have; absent, no change
--        lasting              whether the contact is kept until it is erased
--        keep                 ms that a contact is kept if it is not lasting
--
-- Returns 1, or 0 if there is no contact and no reason to create one
local version, change = ARGV[1], cjson.decode(ARGV[2])
local contact = contact_of(KEYS[1])
if not contact then
  local known = (change.preference or '') ~= '' or (change.language or '') ~= '' or change.stay or KEYS[2]
  if not known then return 0 end
  contact = KEYS[1]
end
if change.lasting then redis.call('HSET', contact, 'lasting', 1) end
for _, name in ipairs({'preference', 'language'}) do
  if change[name] == '' then
    redis.call('HDEL', contact, name)
  elseif change[name] then
    redis.call('HSET', contact, name, change[name], 'lasting', 1)
  end
  if change[name] then redis.call('HSET', contact, 'version', version) end
end
for i, identity in ipairs(change.identities) do link(contact, KEYS[i], identity, version) end
if change.close ~= '' then
  for _, name in ipairs(redis.call('HKEYS', contact)) do
    if name == 'stay ' .. change.close or (change.close == '*' and string.sub(name, 1, 5) == 'stay ') then
      redis.call('HDEL', contact, name)
    end
  end
end
if change.stay then
  local time = redis.call('TIME')
  redis.call('HSET', contact, 'stay ' .. change.stay[1],
    change.stay[2] .. ' 1 ' .. (time[1] * 1000 + math.floor(time[2] / 1000)) .. ' ' .. change.stay[3])
end
keep(contact, change.keep)
return 1
