#!lua flags=allow-oom
-- Takes a lock that expires, so that one process at a time does some work. It works in a full store, too.
--
-- KEYS 1 turn   string   the lock
-- ARGV 1 seconds until it expires
--
-- Returns 1, or 0 if another process has it
return redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) and 1 or 0
