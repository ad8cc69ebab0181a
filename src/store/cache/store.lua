-- Stores what was loaded, unless something else was written since the load began.
-- KEYS: the value, the lease. ARGV: the stamp that the load has seen, the value, how long it is
-- kept (ms), the token of the lease. Returns 1 if it was stored.
local seen = redis.pcall('GETRANGE', KEYS[1], 4, 11)
if type(seen) == 'table' then
  -- Not a string: nobody else's business in this namespace.
  redis.call('DEL', KEYS[1])
  seen = ''
end
if redis.call('GET', KEYS[2]) == ARGV[4] then
  redis.call('DEL', KEYS[2])
end
if seen ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
