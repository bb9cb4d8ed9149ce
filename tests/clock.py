"""Control over the store's clocks: the two that it keeps for the lanes, and its TIME as they see it."""

from collections.abc import Callable
from typing import Any, Final

Call = Callable[..., Any]


def key(tag: str) -> str:
    """Return the key of a bucket's clocks."""
    return f"clock:{{{tag}}}"


def read(call: Call, tag: str) -> tuple[float, float, float]:
    """Return the lease clock, the due clock, and the store's TIME at their last write, in ms."""
    text = call("GET", key(tag))
    if text is None:
        seconds, micros = call("TIME")
        now = int(seconds) * 1000 + int(micros) / 1000
        return now, now, now
    return parse(text)


def parse(text: str | bytes) -> tuple[float, float, float]:
    """Return the same as `read`, from the key's value."""
    lease, due, last = text.split()
    return float(lease), float(due), float(last)


def pass_time(call: Call, tag: str, seconds: float) -> None:
    """Let time pass in a bucket, for leases, for what waits, and for ages.

    No message may be in flight, because the clock of a lease's holder stands still.
    """
    lease, due, last = read(call, tag)
    call("SET", key(tag), f"{lease + 1000 * seconds:.3f} {due + 1000 * seconds:.3f} {last:.3f}")


_STEP: Final = """
local ms = tonumber(ARGV[1])
for _, key in ipairs(redis.call('KEYS', '*:' .. ARGV[2] .. '*')) do
  local family = string.match(key, '^%a+')
  if family == 'due' or family == 'log' or family == 'dead' then
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -ms, member) end
  elseif family == 'message' then
    for _, name in ipairs({'at', 'held', 'unconfirmed'}) do
      if redis.call('HEXISTS', key, name) == 1 then redis.call('HINCRBY', key, name, -ms) end
    end
  elseif family == 'resumed' then
    redis.call('INCRBY', key, -ms)
  end
end
"""


def step(call: Call, tag: str, seconds: float) -> None:
    """Simulate that the store's TIME was set forward or back by so many seconds.

    TIME itself stays, and all that was written with it is moved the other way.
    """
    lease, due, last = (value - 1000 * seconds * moves for value, moves in zip(read(call, tag), (0, 1, 1), strict=True))
    call("EVAL", _STEP, 0, int(1000 * seconds), f"{{{tag}}}")
    call("SET", key(tag), f"{lease:.3f} {due:.3f} {last:.3f}")
