-- Raises the generation of the cache, a tag or a prefix, and tells the other instances.
-- KEYS: the generations. ARGV: the scope, the most scopes that are kept, the channel, this
-- instance, the epoch that began with a loss of data (empty: it is not about one). Returns the
-- generation: Redis's time in microseconds, always more than the last.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local last = redis.pcall('HGET', KEYS[1], '')
if type(last) == 'table' or (last and not tonumber(last)) then
  -- Not ours: nobody else's business in this namespace.
  redis.call('DEL', KEYS[1])
  last = false
end
local epoch = redis.call('HGET', KEYS[1], '@')
if ARGV[5] ~= '' then
  -- One instance is enough: what was stored since another has done it is sound.
  if last and epoch == ARGV[5] then
    return last
  end
  epoch = ARGV[5]
end
if last and now <= tonumber(last) then
  now = tonumber(last) + 1
end
local scope = ARGV[1]
-- One for the whole cache stands for all: where there are too many, and where Redis has dropped
-- what says which there were (a newcomer would take what they ended for valid).
if scope == '*' or not last or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
  scope = '*'
  redis.call('DEL', KEYS[1])
end
local generation = string.format('%.0f', now)
redis.call('HSET', KEYS[1], '', generation, scope, generation)
if epoch then
  redis.call('HSET', KEYS[1], '@', epoch)
end
redis.call('PUBLISH', ARGV[3], ARGV[4] .. ' scope ' .. generation .. ' ' .. scope)
return generation
