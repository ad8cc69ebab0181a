-- KEYS: the record. Answers now, or nothing when there is none.
local record = KEYS[1]
local held = redis.call('HMGET', record, 'i', 'a')
if not held[1] or not held[2] then return false end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
redis.call('HSET', record, 't', int(now))
redis.call('PEXPIREAT', record, int(math.min(now + tonumber(held[1]), tonumber(held[2]))))
return int(now)
