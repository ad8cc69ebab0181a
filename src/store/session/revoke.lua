-- KEYS: a subject's sessions, and until when they are revoked. ARGV: until when (ms; '' for now);
-- how long that stands, in ms.
-- Sessions that begin later are not touched. Answers until when, and the names of all that are
-- listed.
local list, cutoff = KEYS[1], KEYS[2]
local time = redis.call('TIME')
local at = tonumber(ARGV[1]) or (time[1] * 1000 + math.floor(time[2] / 1000))
local held = tonumber(redis.call('GET', cutoff)) or 0
redis.call('SET', cutoff, string.format('%.0f', math.max(at, held)), 'PX', ARGV[2])
return { string.format('%.0f', at), redis.call('ZRANGE', list, 0, -1) }
