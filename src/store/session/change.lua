-- KEYS: the record, its tombstone.
-- ARGV: the version that the caller knows; new idle and absolute lifetime in ms ('' for as they
-- are); then key, json, ...
-- A key that was changed after that version is left as it is: whoever came first has won. json ''
-- removes.
-- Answers 'absent' | 'ok', version, now, keys that were left, and the whole record when the caller
-- does not know it.
local record, gone = KEYS[1], KEYS[2]
local version = tonumber(redis.call('HGET', record, 'v'))
if not version or redis.call('EXISTS', gone) == 1 then return { 'absent' } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
local known, raised, left = tonumber(ARGV[1]), int(version + 1), 0
local set = {}
for at = 4, #ARGV, 2 do
  local name, json = 'k:' .. ARGV[at], ARGV[at + 1]
  local held = redis.call('HGET', record, name) or '0:'
  local colon = string.find(held, ':', 1, true)
  local same = string.sub(held, colon + 1) == json
  if tonumber(string.sub(held, 1, colon - 1)) <= known then
    set[#set + 1] = name
    set[#set + 1] = raised .. ':' .. json
  elseif not same then
    left = left + 1
  end
end
local idle = tonumber(ARGV[2]) or tonumber(redis.call('HGET', record, 'i'))
local ends = tonumber(redis.call('HGET', record, 'a'))
if ARGV[3] ~= '' then ends = tonumber(redis.call('HGET', record, 'c')) + tonumber(ARGV[3]) end
for at = 1, #set, 2 do redis.call('HSET', record, set[at], set[at + 1]) end
local changed = #set > 0 or ARGV[2] ~= '' or ARGV[3] ~= ''
redis.call('HSET', record, 'v', changed and raised or int(version), 't', int(now), 'i', int(idle), 'a', int(ends))
redis.call('PEXPIREAT', record, int(math.min(now + idle, ends)))
local whole = {}
if known ~= version or left > 0 then whole = redis.call('HGETALL', record) end
return { 'ok', changed and raised or int(version), int(now), left, whole }
