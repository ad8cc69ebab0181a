-- What the truth said after a take at ARGV[2] (Redis's time). ARGV[3]: `back` gives ARGV[4] seats
-- back; `seed` makes an unknown gate known; `set` corrects a known one, too. ARGV[5], ARGV[6]: what
-- the truth has left, and its capacity. ARGV[7]: the lifetime.
--
-- What the truth said before a release is too little afterwards: it is not written then.
local seats = tonumber(ARGV[4])
local is_stale = released >= tonumber(ARGV[2])
if ARGV[3] == 'back' or (ARGV[3] == 'set' and is_stale) then
    if left then
        redis.call('HSET', KEYS[1], 'left', text(math.min(left + seats, capacity)))
    end
elseif not is_stale and (ARGV[3] == 'set' or not left) then
    set(tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7])
end
return strange
