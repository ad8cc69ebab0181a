-- Still in flight.
--
-- KEYS[1]  the leases of a subject, as for acquiring
-- ARGV[1]  how long a lease lasts, in milliseconds
-- ARGV[2]  and all further ones: holders
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'zset' and kind ~= 'none' then
    redis.call('DEL', KEYS[1])
end
for place = 2, #ARGV do
    redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[place])
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
