#!lua flags=allow-oom
-- Writes on a message's record what became of its late answer, where there still is a record, and was not erased.
--
-- KEYS 1 message hash
-- ARGV 1 what became of it
--
-- Returns 1, or 0 if the record does not exist
if redis.call('HEXISTS', KEYS[1], 'raw') == 0 then return 0 end
redis.call('HSET', KEYS[1], 'replied', ARGV[1])
return 1
