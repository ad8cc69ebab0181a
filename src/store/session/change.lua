-- KEYS: the record.
-- ARGV: its header as the caller knows it (of a record in the form before: its version); the value
-- that takes its place; '1' when it counts as a use.
-- Answers 0, or when it was used; nothing when there is no record; the value that is there when it
-- is another one ('' when that is in the form before).
local record, value = KEYS[1], ARGV[2]
local held = redis.pcall('GETRANGE', record, '0', '55')
if type(held) == 'table' then held = redis.pcall('HGET', record, 'v') end
if held ~= ARGV[1] then
  held = redis.pcall('GET', record)
  return type(held) == 'table' and '' or held
end
if ARGV[3] ~= '1' then
  redis.call('SET', record, value, 'KEEPTTL')
  return 0
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
