#!lua flags=allow-oom
-- Writes the result of a late answer into the message's record, unless the record has expired or was erased.
--
-- KEYS 1 message hash
-- ARGV 1 the result
--
-- Returns 1, or 0 if the record has expired or was erased
if redis.call('HEXISTS', KEYS[1], 'raw') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'replied', ARGV[1])
return 1
