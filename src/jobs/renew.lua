-- The holder of a lease lives.
--
-- KEYS[1]  the lease
-- ARGV[1]  its holder, and the holder's fence
-- ARGV[2]  how long it lasts from now on, in milliseconds
-- Returns  1, or 0 if it is another's
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
