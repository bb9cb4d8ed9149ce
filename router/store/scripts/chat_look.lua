#!lua flags=no-writes
-- Reads a web chat's state, and some of its messages.
--include chat
--
-- KEYS 1 chat   hash   2 its messages   list
-- ARGV 1 'after' | 'before' | 'last'   2 an index   3 how many messages at most
--
-- Returns {state, epoch, read by the visitor, read by the other side, closed by, index of the first message kept,
--       index of the next message, index of the first message returned, message…, '' for one that was removed};
--       {} if there is no such chat
local c = redis.call('HMGET', KEYS[1], 'state', 'epoch', 'read_visitor', 'read_agent', 'closed_by', 'first')
if not c[1] then return {} end
local first, length, index, most = tonumber(c[6] or 0), redis.call('LLEN', KEYS[2]), tonumber(ARGV[2]), tonumber(ARGV[3])
local from, to = first, first + length -- [from, to)
if ARGV[1] == 'after' then
  from = math.max(first, math.min(index, to - 1) + 1) -- an index beyond the last message counts as the last one
  to = math.min(to, from + most)
else
  if ARGV[1] == 'before' then to = math.max(first, math.min(to, index)) end
  from = math.max(first, to - most)
end
local messages
repeat
  messages = from < to and redis.call('LRANGE', KEYS[2], from - first, to - first - 1) or {}
  -- A page of removed messages only would look like the beginning of the chat: read the page before it instead.
  local again = ARGV[1] ~= 'after' and from > first and #messages > 0 and table.concat(messages) == ''
  if again then from, to = math.max(first, from - most), from end
until not again
return {c[1], c[2] or '', c[3] or '-1', c[4] or '-1', c[5] or '', first, first + length, from, unpack(messages)}
