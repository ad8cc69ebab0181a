-- Forgets revocations that have expired by this server's clock, unless they were raised meanwhile:
-- an instance whose clock is ahead takes live ones for expired.
--
-- KEYS[1]  the table
-- ARGV[1]  for how many seconds more they are kept
-- ARGV[2], ARGV[3], ...  for each its digest and the value that was seen
local over = redis.call('TIME')[1] - ARGV[1]
for i = 2, #ARGV, 2 do
  local expiry = tonumber(string.match(ARGV[i + 1], '^(%d+):'))
  if expiry and expiry < over and redis.call('HGET', KEYS[1], ARGV[i]) == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
return redis.status_reply('OK')
