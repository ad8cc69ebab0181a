-- One more in flight?
--
-- KEYS[1]  the leases of a subject: a sorted set of holders, each with the time (milliseconds) at
--          which its lease ends
-- ARGV[1]  the holder
-- ARGV[2]  the most that there may be
-- ARGV[3]  how long a lease lasts, in milliseconds
-- Returns  1 or 0 for admitted or not, and how many are in flight then
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lease = tonumber(ARGV[3])
-- A value that is not ours is replaced.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
-- What ends impossibly late was written before the clock stepped back: its holder renews it, if it
-- lives.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. (now + lease), '+inf')
local held = redis.call('ZCARD', KEYS[1])
if held >= tonumber(ARGV[2]) then
    return {0, held}
end
redis.call('ZADD', KEYS[1], now + lease, ARGV[1])
redis.call('PEXPIRE', KEYS[1], lease)
return {1, held + 1}
