-- KEYS: the record. Answers now, or nothing when there is none.
local record = KEYS[1]
local value = redis.call('GET', record)
if not value then return false end
if string.sub(value, 1, 3) ~= 'eks' or #value < 60 then
  return redis.error_reply('ERR not a session')
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, ends = struct.unpack('>I8I8', value, 41)
local lives = math.min(idle, ends - now)
if lives < 1 then
  redis.call('DEL', record)
  return now
end
value = string.sub(value, 1, 32) .. struct.pack('>I8', now) .. string.sub(value, 41)
redis.call('SET', record, value, 'PX', string.format('%.0f', lives))
return now
