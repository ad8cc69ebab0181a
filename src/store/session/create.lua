-- KEYS: the record, its tombstone.
-- ARGV: the value; '1' when it began when that says, else it begins now.
-- Answers now, or 0 when it is taken, or -1 when it was logged out.
local record, gone, value = KEYS[1], KEYS[2], ARGV[1]
if redis.call('EXISTS', gone) == 1 then return -1 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local created, _, idle, ends = struct.unpack('>I8I8I8I8', value, 25)
if ARGV[2] ~= '1' then
  created, ends = now, now + ends - created
end
local lives = math.min(idle, ends - now)
if lives < 1 then return now end
local times = struct.pack('>I8I8I8I8', created, now, idle, ends)
value = string.sub(value, 1, 24) .. times .. string.sub(value, 57)
if not redis.call('SET', record, value, 'PX', string.format('%.0f', lives), 'NX') then return 0 end
return now
