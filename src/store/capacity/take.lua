-- Takes ARGV[2] seats if the gate is known and has them. Returns what it did (0: unknown, 1: taken,
-- 2: full), what is left, of how many, Redis's time, and whether something strange stood there.
local seats = tonumber(ARGV[2])
local answer = 0
if left and left < seats then
    answer = 2
elseif left then
    answer = 1
    left = left - seats
    redis.call('HSET', KEYS[1], 'left', text(left))
end
return {answer, left or 0, capacity or 0, text(now), strange}
