-- The holder gives its lease back.
--
-- KEYS[1]  the lease
-- ARGV[1]  its holder, and the holder's fence
-- Returns  1, or 0 if it is another's
if redis.pcall('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
