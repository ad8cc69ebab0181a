-- The truth has given ARGV[2] seats back; empty: how many is not known, and the gate is given up.
-- Leaves a mark in an unknown gate, too, so that nobody seeds it with what was true before. Tells
-- the other instances. ARGV[3]: the lifetime. ARGV[4], ARGV[5]: the channel and the message.
if left and ARGV[2] ~= '' then
    redis.call('HSET', KEYS[1], 'left', text(math.min(left + tonumber(ARGV[2]), capacity)))
else
    redis.call('HDEL', KEYS[1], 'left', 'capacity', 'seeded')
    -- The mark must outlive whoever was about to seed; a known gate keeps its end.
    redis.call('HSET', KEYS[1], 'released', text(now))
    redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
redis.call('HSET', KEYS[1], 'released', text(now))
redis.call('PUBLISH', ARGV[4], ARGV[5])
return strange
