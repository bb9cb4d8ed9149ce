#!lua flags=allow-oom
-- Erases a contact and its aliases in one step, so that no message can link another address to it in between.
--include contact_link
--
-- KEYS 1 contact   hash   by any of its addresses
--
-- Returns the contact as it was, field value field value …; {} if the contact is unknown
local contact = contact_of(KEYS[1])
local fields = contact and redis.call('HGETALL', contact) or {}
local keys = {KEYS[1], contact}
for n = 1, #fields, 2 do
  local alias = string.match(fields[n], '^alias (.*)')
  if alias then keys[#keys + 1] = first_part(contact) .. alias end
end
redis.call('DEL', unpack(keys))
return fields
