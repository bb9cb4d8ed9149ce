#!lua flags=allow-oom
-- Records that a process which served some accounts has stopped. If another process serves them, its next heartbeat
-- removes the record; the first heartbeat of a new process under another master makes a gap of it.
--
-- KEYS 1 alive   hash   "<AccountSid> stopped" -> "<ms at which the process stopped> <master>"
-- ARGV 1 the name of its master   2… the accounts
local time = redis.call('TIME')
local at = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('HSET', KEYS[1], ARGV[i] .. ' stopped', string.format('%.0f %s', at, ARGV[1])) end
