#!lua flags=allow-oom
-- Forgets a contact with its aliases: at once, so that no message links another address to it meanwhile.
--include contact_link
-- KEYS 1 contact   hash   by any of its addresses
--
-- Returns the contact as it was, field value field value …; nothing where the contact is unknown
local contact = contact_of(KEYS[1])
local found = contact and redis.call('HGETALL', contact) or {}
local keys = {KEYS[1], contact}
for n = 1, #found, 2 do
  local alias = string.match(found[n], '^alias (.*)')
  if alias then keys[#keys + 1] = first_part(contact) .. alias end
end
redis.call('DEL', unpack(keys))
return found
