#!lua
-- Changes what is kept of a contact, and makes one where there is none.
--include contact_link
-- KEYS 1… contact   hash   the contact's own address, then those that shall be its aliases
-- ARGV 1 version   random   2 JSON:
--        identities           the addresses, one for each key
--        preference language  new values, '' to forget the old one; left out, they stay
--        close                the address whose conversation ends, '*' for all of them, '' for none
--        stay                 [our address, flow, language]: the flow that a conversation shall have; left out, none
--        lasting              whether the contact is kept until it is erased
--        keep                 ms that a contact is kept who is not
--
-- Returns 1, or 0 where there is no contact and nothing that would make one
local version, given = ARGV[1], cjson.decode(ARGV[2])
local contact = contact_of(KEYS[1])
if not contact then
  if (given.preference or '') == '' and (given.language or '') == '' and not given.stay and not KEYS[2] then return 0 end
  contact = KEYS[1]
end
if given.lasting then redis.call('HSET', contact, 'lasting', 1) end
for _, name in ipairs({'preference', 'language'}) do
  if given[name] == '' then
    redis.call('HDEL', contact, name)
  elseif given[name] then
    redis.call('HSET', contact, name, given[name], 'lasting', 1)
  end
  if given[name] then redis.call('HSET', contact, 'version', version) end
end
for i, identity in ipairs(given.identities) do link(contact, KEYS[i], identity, version) end
if given.close ~= '' then
  for _, name in ipairs(redis.call('HKEYS', contact)) do
    if name == 'stay ' .. given.close or (given.close == '*' and string.sub(name, 1, 5) == 'stay ') then
      redis.call('HDEL', contact, name)
    end
  end
end
if given.stay then
  local time = redis.call('TIME')
  redis.call('HSET', contact, 'stay ' .. given.stay[1],
    given.stay[2] .. ' 1 ' .. (time[1] * 1000 + math.floor(time[2] / 1000)) .. ' ' .. given.stay[3])
end
keep(contact, given.keep)
return 1
