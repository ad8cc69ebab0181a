-- In front of each script about a soft capacity: `taken` is what the rows in KEYS[1] hold, without
-- those whose hold has ended by Redis's clock (the ends stand in KEYS[2]).
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
-- What is not ours counts as nothing, and is replaced.
for at, kind in ipairs({'hash', 'zset'}) do
    local found = redis.call('TYPE', KEYS[at]).ok
    if found ~= kind and found ~= 'none' then
        redis.call('DEL', KEYS[1], KEYS[2])
    end
end
local function row(token)
    local text = redis.call('HGET', KEYS[1], 't' .. token)
    if text then
        local seats, request = string.match(text, '^(%d+):(.*)$')
        return tonumber(seats), request
    end
    return nil, nil
end
local taken = math.max(tonumber(redis.call('HGET', KEYS[1], 'taken') or '') or 0, 0)
local function remove(token)
    local seats, request = row(token)
    if seats then
        redis.call('HDEL', KEYS[1], 't' .. token, 'r' .. request)
        taken = math.max(taken - seats, 0)
        redis.call('HSET', KEYS[1], 'taken', string.format('%.0f', taken))
    end
    redis.call('ZREM', KEYS[2], token)
    return seats or 0
end
local ends = redis.call('ZRANGE', KEYS[2], 0, 99, 'WITHSCORES')
for at = 1, #ends, 2 do
    if tonumber(ends[at + 1]) <= now then
        remove(ends[at])
    end
end

