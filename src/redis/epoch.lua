local fresh, rotate = ARGV[1], ARGV[2]
local held = redis.pcall('GET', KEYS[1])
-- A value of another type is not ours: it is replaced.
if type(held) ~= 'string' or held == '' or held == rotate then
  redis.call('SET', KEYS[1], fresh)
  return fresh
end
return held
