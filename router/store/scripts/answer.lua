#!lua flags=allow-oom
-- Takes the right to answer a message's sender for the webhook or for the REST API. Only one of them gets it.
--
-- KEYS 1 message hash   2 lane list
-- ARGV 1 side: webhook | rest   2 prefix of message keys
--
-- Returns {state, answer, state of the lane's head}: answer is '' unless the message is done and this side may answer.
local m = redis.call('HMGET', KEYS[1], 'state', 'answer', 'answered')
if not m[1] then return {'', '', ''} end
if m[1] == 'queued' or m[1] == 'sending' then
  local head = redis.call('LINDEX', KEYS[2], 0)
  return {m[1], '', head and redis.call('HGET', ARGV[2] .. head, 'state') or ''}
end
if not m[2] or m[2] == '' then return {m[1], '', ''} end
if not m[3] or m[3] == '' then
  redis.call('HSET', KEYS[1], 'answered', ARGV[1])
  m[3] = ARGV[1]
end
return {m[1], m[3] == ARGV[1] and m[2] or '', ''}
