"""Simulates that time passes in the store: TIME stays, and all stored times and expiries move into the past."""

from typing import Final

from router.store.client import Client

_PASS: Final = """
local ms = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*')) do
  local family, left = string.match(key, '^%a+'), redis.call('PTTL', key)
  if left >= 0 and left <= ms then
    redis.call('DEL', key)
  else
    if left >= 0 then redis.call('PEXPIRE', key, left - ms) end
    if family == 'log' or family == 'dead' or family == 'due' then
      for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ms, member) end
    elseif family == 'message' then
      for _, name in ipairs({'at', 'held'}) do
        if redis.call('HEXISTS', key, name) == 1 then redis.call('HINCRBY', key, name, -ms) end
      end
    elseif family == 'contact' then
      for _, name in ipairs(redis.call('HKEYS', key)) do
        local flow, firm, at, language = string.match(redis.call('HGET', key, name), '^(%S+) (%d) (%d+) (.*)$')
        if at then redis.call('HSET', key, name, flow .. ' ' .. firm .. ' ' .. at - ms .. ' ' .. language) end
      end
    end
  end
end
"""


def pass_time(client: Client, seconds: float) -> None:
    """Delete the keys that expire within so many seconds, and make all other stored times that much older."""
    client.call("EVAL", _PASS, 0, int(seconds * 1000))
