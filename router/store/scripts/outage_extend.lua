#!lua
-- Records that messages of an account may have been missed from one time to another.
--include outage
--
-- KEYS 1 gaps   hash   see outage.lua
-- ARGV 1 account   2 from   3 to, ms since 1970
extend(KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]))
return 1
