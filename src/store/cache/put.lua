-- Writes a value (or what stands in place of a deleted one) and tells the other instances.
-- KEYS: the value, the lease. ARGV: the value, how long it is kept (ms), the channel, the message.
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return 1
