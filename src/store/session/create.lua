-- KEYS: the record, its tombstone.
-- ARGV: idle and absolute lifetime in ms; when it was created ('' for now); the subject ('' for
-- none); '1' when it is put back from a copy; then key, json, ...
-- Answers 'ok', now | 'gone' | 'taken'.
local record, gone = KEYS[1], KEYS[2]
if redis.call('EXISTS', gone) == 1 then return { 'gone' } end
if redis.call('EXISTS', record) == 1 then return { 'taken' } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local idle, created = tonumber(ARGV[1]), tonumber(ARGV[3]) or now
local ends = created + tonumber(ARGV[2])
local function int(number) return string.format('%.0f', number) end
redis.call('HSET', record, 'v', '1', 'c', int(created), 't', int(now), 'i', int(idle), 'a', int(ends))
if ARGV[4] ~= '' then redis.call('HSET', record, 's', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', record, 'r', '1') end
for at = 6, #ARGV, 2 do
  redis.call('HSET', record, 'k:' .. ARGV[at], '1:' .. ARGV[at + 1])
end
redis.call('PEXPIREAT', record, int(math.min(now + idle, ends)))
return { 'ok', int(now) }
