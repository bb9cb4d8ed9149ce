-- Included by accept.lua and contact.lua. A contact is a hash, found under a digest of each of its addresses:
--   identity            the address that it was first seen with
--   version             changes with preference, language and learned
--   preference language learned   as router.routing.contact.Known
--   lasting             1 when it is kept until it is erased
--   stay <ours>         of the conversation with one of our addresses: "<flow> <firm 0|1> <ms of last message> <language>"
--   alias <digest>      another address of the same contact, whose own hash has only `of` (the digest of this) and identity

local function last_part(key) return string.match(key, '[^:]*$') end
local function first_part(key) return string.match(key, '^(.*:)') end

-- The contact that an address belongs to, nil when the address is unknown.
local function contact_of(key)
  local of = redis.call('HGET', key, 'of')
  if of then return first_part(key) .. of end
  return redis.call('EXISTS', key) == 1 and key or nil
end

-- Writes that the address of `key` is the contact's too. Two people may turn out to be one: what the one lacks then
-- comes from the other. An address that belongs to a third stays there.
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

-- Forgets the conversations that have been idle for longest, but the newest 100. A message costs time for each of them.
local function forget_oldest(contact)
  local found, stays, at = redis.call('HGETALL', contact), {}, {}
  for n = 1, #found, 2 do
    if string.sub(found[n], 1, 5) == 'stay ' then
      stays[#stays + 1] = found[n]
      at[found[n]] = tonumber(string.match(found[n + 1], '^%S+ %d (%d+) ')) or 0
    end
  end
  table.sort(stays, function(one, other) return at[one] > at[other] end)
  for n = 101, #stays do redis.call('HDEL', contact, stays[n]) end
end

-- Keeps a contact, with its aliases, for so many ms from now, or until it is erased.
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
