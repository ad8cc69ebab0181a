-- KEYS: the record, its tombstone.
-- ARGV: version; created, idle (ms), ends; subject ('' for none); '1' when nothing is missing; then
-- key, version, json, ...
-- Redis has lost the record or holds an older one: what the client carried takes its place, key by
-- key, where it is newer.
-- Answers 'gone' | 'over' | 'ok' and the whole record.
local record, gone = KEYS[1], KEYS[2]
if redis.call('EXISTS', gone) == 1 then return { 'gone' } end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function int(number) return string.format('%.0f', number) end
local version, idle, ends = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
if ends <= now then return { 'over' } end
local function held_version(name)
  local held = redis.call('HGET', record, name)
  return held and tonumber(string.match(held, '^(%d+):')) or -1
end
local held = tonumber(redis.call('HGET', record, 'v')) or -1
if held < version then
  local mine = {}
  for at = 7, #ARGV, 3 do
    local name = 'k:' .. ARGV[at]
    mine[name] = true
    if held_version(name) < tonumber(ARGV[at + 1]) then
      redis.call('HSET', record, name, ARGV[at + 1] .. ':' .. ARGV[at + 2])
    end
  end
  if ARGV[6] == '1' then
    for _, name in ipairs(redis.call('HKEYS', record)) do
      if string.sub(name, 1, 2) == 'k:' and not mine[name] and held_version(name) <= version then
        redis.call('HSET', record, name, ARGV[1] .. ':')
      end
    end
  end
  redis.call('HSET', record, 'v', int(version), 'c', ARGV[2], 't', int(now), 'i', int(idle), 'a', int(ends))
  -- Its user has to authenticate again before it counts as fresh.
  redis.call('HSET', record, 'r', '1')
  if ARGV[5] ~= '' then redis.call('HSET', record, 's', ARGV[5]) end
  redis.call('PEXPIREAT', record, int(math.min(now + idle, ends)))
end
return { 'ok', redis.call('HGETALL', record) }
