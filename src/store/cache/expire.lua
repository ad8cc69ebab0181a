-- Marks a value as no longer fresh and tells the other instances.
-- KEYS: the value. ARGV: where its end of freshness stands, zeros, the channel, the message.
local length = redis.pcall('STRLEN', KEYS[1])
if type(length) == 'number' and length >= ARGV[1] + 8 then
  redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
