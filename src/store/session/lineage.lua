-- KEYS: the epochs of this store's data, by when each was first seen.
-- ARGV: how many are kept; then when (ms) and epoch, ...
-- Adds them and answers all that are kept, the oldest first: epoch, when, ... A value of another
-- type is not ours: it is replaced.
local epochs = KEYS[1]
local held = redis.call('TYPE', epochs).ok
if held ~= 'none' and held ~= 'zset' then redis.call('DEL', epochs) end
for at = 2, #ARGV, 2 do redis.call('ZADD', epochs, 'NX', ARGV[at], ARGV[at + 1]) end
redis.call('ZREMRANGEBYRANK', epochs, 0, -1 - tonumber(ARGV[1]))
return redis.call('ZRANGE', epochs, 0, -1, 'WITHSCORES')
