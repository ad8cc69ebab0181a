-- May this instance load? KEYS: the value, the lease. ARGV: the stamp that it has seen, its token,
-- how long the lease lasts (ms). Returns what was written since, or else 1 (it may) or 0 (another
-- does).
local seen = redis.pcall('GETRANGE', KEYS[1], 4, 11)
if type(seen) == 'table' then
  seen = ''
end
if seen ~= ARGV[1] then
  return redis.call('GET', KEYS[1])
end
if redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then
  return 1
end
return 0
