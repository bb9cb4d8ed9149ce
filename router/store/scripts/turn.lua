#!lua flags=allow-oom
-- Gives one process at a time the turn to do something, also in a full store.
--
-- KEYS 1 turn   string   there for as long as no other process may begin
-- ARGV 1 how many seconds that is
--
-- Returns 1, or 0 where another process has had the turn
return redis.call('SET', KEYS[1], 1, 'NX', 'EX', ARGV[1]) and 1 or 0
