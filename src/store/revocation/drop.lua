-- Forgets revocations that have expired, unless they were raised meanwhile.
-- KEYS[1] the table. ARGV[1], ARGV[2], ...  for each its digest and the value that was seen
for i = 1, #ARGV, 2 do
  if redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return redis.status_reply('OK')
