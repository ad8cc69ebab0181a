-- A heartbeat: this member is alive. How many are?
--
-- KEYS[1]  the members, each with the time (milliseconds) at which it counts as gone
-- ARGV[1]  this member
-- ARGV[2]  how long it counts from now, in milliseconds
-- Returns  how many there are
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
-- What lies impossibly far ahead was written before the clock stepped back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. (now + ARGV[2]), '+inf')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
