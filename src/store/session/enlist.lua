-- KEYS: a subject's sessions. ARGV: a session's name; when it ends, in ms. The list goes with the
-- last of them.
local list = KEYS[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', list, '-inf', string.format('%.0f', now))
redis.call('ZADD', list, ARGV[2], ARGV[1])
local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')
redis.call('PEXPIREAT', list, string.format('%.0f', tonumber(last[2]) + 1000))
return 1
