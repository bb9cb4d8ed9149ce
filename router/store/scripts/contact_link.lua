-- Included by accept.lua and contact.lua. A contact is a hash, found under a digest of each of its addresses:
--   identity            the address of its first message
--   version             changes with preference, language and learned
--   preference language learned   as router.routing.contact.Known
--   lasting             1 if it is kept until it is erased
--   stay <ours>         the conversation with one of our addresses: "<flow> <confident 0|1> <ms of last message> <language>"
--   alias <digest>      another address of the contact; its own hash has only `of` (the digest of this one) and
--   identity

local function last_part(key) return string.match(key, '[^:]*$') end
local function first_part(key) return string.match(key, '^(.*:)') end

-- The contact that an address belongs to, nil if the address is unknown.
local function contact_of(key)
  local of = redis.call('HGET', key, 'of')
  if of then return first_part(key) .. of end
  return redis.call('EXISTS', key) == 1 and key or nil
end

-- Makes the address of `key` an alias of the contact. If the address is a contact itself, the two are merged: fields
-- that `contact` lacks are copied from it. An address that is already an alias of another contact is not changed.
local function link(contact, key, identity, version)
  if key == contact then redis.call('HSETNX', contact, 'identity', identity); return end
  local prefix, digest, of = first_part(contact), last_part(contact), redis.call('HGET', key, 'of')
  if not of then
    local other = redis.call('HGETALL', key)
    for n = 1, #other, 2 do
      redis.call('HSETNX', contact, other[n], other[n + 1])
      local alias = string.match(other[n], '^alias (.*)')
      if alias then redis.call('HSET', prefix .. alias, 'of', digest) end
    end
    if #other > 0 then redis.call('HSET', contact, 'version', version) end
    redis.call('DEL', key)
    redis.call('HSET', key, 'of', digest, 'identity', identity)
    of = digest
  end
  if of == digest then redis.call('HSET', contact, 'alias ' .. last_part(key), identity) end
end

-- Removes all but the 100 conversations used last, because each of them costs time at every message.
local function forget_oldest(contact)
  local fields, stays, at = redis.call('HGETALL', contact), {}, {}
  for n = 1, #fields, 2 do
    if string.sub(fields[n], 1, 5) == 'stay ' then
      stays[#stays + 1] = fields[n]
      at[fields[n]] = tonumber(string.match(fields[n + 1], '^%S+ %d (%d+) ')) or 0
    end
  end
  table.sort(stays, function(a, b) return at[a] > at[b] end)
  for n = 101, #stays do redis.call('HDEL', contact, stays[n]) end
end

-- Keeps a contact and its aliases for `ms` from now, or without limit if it is lasting.
local function keep(contact, ms)
  local keys, stays = {contact}, 0
  for _, name in ipairs(redis.call('HKEYS', contact)) do
    local alias = string.match(name, '^alias (.*)')
    if alias then keys[#keys + 1] = first_part(contact) .. alias end
    if string.sub(name, 1, 5) == 'stay ' then stays = stays + 1 end
  end
  if stays > 100 then forget_oldest(contact) end
  local lasting = redis.call('HGET', contact, 'lasting')
  for _, key in ipairs(keys) do
    if lasting then redis.call('PERSIST', key) else redis.call('PEXPIRE', key, ms) end
  end
end
