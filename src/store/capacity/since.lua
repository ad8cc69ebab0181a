-- Gives up all gates that were seeded before now, for all instances. KEYS: the moment. ARGV: how
-- long it is kept, the channel. Returns Redis's time in microseconds.
local clock = redis.call('TIME')
local now = string.format('%.0f', clock[1] * 1000000 + clock[2])
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
redis.call('PUBLISH', ARGV[2], '*' .. now)
return now
