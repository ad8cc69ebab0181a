-- In front of each script about a gate: reads what stands in KEYS[1]. `left` is nil where the gate
-- is unknown: absent, not ours, impossible, or older than `since` (all gates were given up then).
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local strange = 0
local function text(value)
    return string.format('%.0f', value)
end
local function number(word)
    local value = tonumber(word or '')
    if value and value >= 0 and value <= 9007199254740000 and value == math.floor(value) then
        return value
    end
    if word then
        strange = 1
    end
    return nil
end
local known = redis.pcall('HMGET', KEYS[1], 'left', 'capacity', 'seeded', 'released')
if known.err then
    redis.call('DEL', KEYS[1])
    known, strange = {}, 1
end
local left, capacity = number(known[1]), number(known[2])
local seeded, released = number(known[3]) or 0, number(known[4]) or 0
local since = tonumber(ARGV[1])
if not left or not capacity or left > capacity or (seeded < since and since <= now) then
    if left and capacity and left > capacity then
        strange = 1
    end
    left, capacity = nil, nil
end
local function set(to, of, lifetime)
    redis.call('HSET', KEYS[1], 'left', text(to), 'capacity', text(of), 'seeded', text(now))
    redis.call('PEXPIRE', KEYS[1], lifetime)
end

