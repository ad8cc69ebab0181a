-- ARGV: seats, capacity, token, request, how long they are held (milliseconds; 0: for ever), and
-- whether they were given out already. Returns 0 (full), 1 (taken) or 2 (this request has them),
-- the token, and what is left.
local seats, capacity = tonumber(ARGV[1]), tonumber(ARGV[2])
local function answer(what, token)
    return {what, token, string.format('%.0f', math.max(capacity - taken, 0))}
end
local token = redis.call('HGET', KEYS[1], 'r' .. ARGV[4])
if token then
    return answer(2, token)
elseif taken + seats > capacity and ARGV[6] == '0' then
    return answer(0, '')
end
taken = taken + seats
redis.call('HSET', KEYS[1], 'taken', string.format('%.0f', taken), 'r' .. ARGV[4], ARGV[3],
    't' .. ARGV[3], ARGV[1] .. ':' .. ARGV[4])
local hold = tonumber(ARGV[5])
if hold > 0 then
    redis.call('ZADD', KEYS[2], now + hold, ARGV[3])
    -- All holds are of one length: none ends after this one.
    redis.call('PEXPIRE', KEYS[1], hold + 1000)
    redis.call('PEXPIRE', KEYS[2], hold + 1000)
end
return answer(1, ARGV[3])
