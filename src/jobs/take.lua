-- Whose is this tick of a job? Time is Redis' own: ticks are the periods since 1970 by its clock.
--
-- KEYS[1]  the lease: its holder and the holder's fence, for as long as the lease lasts
-- KEYS[2]  what outlives it, a hash: the highest "fence", the last "tick" that was taken
--          (microseconds), "taken" (when), "attempt" and "owner" (by whom)
-- ARGV[1]  who asks
-- ARGV[2]  how long the lease lasts, in milliseconds
-- ARGV[3]  the period, in microseconds
-- ARGV[4]  the highest fence that the asking process has seen
-- ARGV[5]  the attempt: the same one may take the same tick again, because its answer may have been
--          lost
-- ARGV[6]  for what: "tick"; "look" only looks; "late" takes a tick that is known to be missed;
--          "recovered" asks for a run that no tick is due for
-- ARGV[7]  for "recovered": how long ago the outage began, in microseconds
-- Returns  1 or 0 for taken or not; the highest fence; how many ticks nobody took before this one;
--          the tick; microseconds until the next; 1 if the one who asks took the last tick; how
--          many values were not ours
local most, longest = 9007199254740000, 3600000
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local period = tonumber(ARGV[3])
local tick = now - now % period
local wait = period - now % period
local strange = 0

-- A lease without an end, or of another type, or longer than any, is not ours: nobody would ever
-- give it back.
local held = redis.pcall('GET', KEYS[1])
if held then
    local left = redis.call('PTTL', KEYS[1])
    if type(held) ~= 'string' or left == -1 or left > longest then
        redis.call('DEL', KEYS[1])
        held, strange = false, strange + 1
    end
end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'hash' and kind ~= 'none' then
    redis.call('DEL', KEYS[2])
    strange = strange + 1
end

local function number(text)
    local value = tonumber(text or '')
    if value and value >= 0 and value <= most and value == math.floor(value) then
        return value
    end
    if text then
        strange = strange + 1
    end
    return nil
end
local function text(value)
    return string.format('%.0f', value)
end

local known = redis.call('HMGET', KEYS[2], 'fence', 'tick', 'taken', 'attempt', 'owner')
local fence = math.max(number(known[1]) or 0, number(ARGV[4]) or 0)
local last = number(known[2])
local taken = number(known[3])
-- Far ahead: the clock has stepped back since. By one tick only, another server's clock may differ.
if last and last > tick + period then
    last = nil
end
-- The same attempt: its answer was lost, or it makes up for a tick that it found missed.
local again = known[4] == ARGV[5]
local mine = known[5] == ARGV[1] and 1 or 0
local is_free = not held or string.sub(held, 1, #ARGV[1] + 1) == ARGV[1] .. ':'

local is_due = again or not last or last < tick
if ARGV[6] == 'look' then
    is_due = false
elseif ARGV[6] == 'late' then
    is_due = again or (last ~= nil and last < tick)
elseif ARGV[6] == 'recovered' then
    is_due = again or not taken or taken < now - tonumber(ARGV[7]) or taken > now
end
if not (is_due and is_free) then
    return {0, text(fence), 0, text(tick), text(wait), mine, strange}
end

local missed = 0
if last and last < tick and not again then
    missed = math.ceil((tick - last) / period) - 1
end
-- Grows also over an empty Redis, whose clock is all that is left.
fence = math.max(fence + 1, now)
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. text(fence), 'PX', ARGV[2])
redis.call('HSET', KEYS[2], 'fence', text(fence), 'tick', text(tick), 'taken', text(now),
    'attempt', ARGV[5], 'owner', ARGV[1])
-- Kept for a week at least, and for ten periods.
redis.call('PEXPIRE', KEYS[2], text(math.max(604800000, math.floor(period / 100))))
return {1, text(fence), missed, text(tick), text(wait), 1, strange}
