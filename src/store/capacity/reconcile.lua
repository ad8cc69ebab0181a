-- The truth has ARGV[2] seats left of ARGV[3], and was read after ARGV[4] (Redis's time). ARGV[5]:
-- the lifetime. ARGV[6], ARGV[7]: the channel and the message. Returns 1 if the gate was mended.
local was_low = left and left < tonumber(ARGV[2])
if (not left and strange == 0) or (left == tonumber(ARGV[2]) and capacity == tonumber(ARGV[3])) then
    return 0
elseif released >= tonumber(ARGV[4]) or not left then
    -- Released since, or nothing that can be read: whoever asks next seeds it.
    redis.call('HDEL', KEYS[1], 'left', 'capacity', 'seeded')
else
    set(tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5])
end
if was_low then
    redis.call('PUBLISH', ARGV[6], ARGV[7])
end
return 1
