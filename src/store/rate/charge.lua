-- Lays on a subject what an instance admitted while Redis was away, once. Same law as debt.rs
-- (charge).
--
-- KEYS[1]  the subject, as gcra.lua keeps it
-- KEYS[2]  the mark of this instance and outage on this subject, in the same slot
-- ARGV[1]  how long the mark is to stand, in milliseconds: not shorter than the longest tolerance,
--          since until then a repeated charge could still matter, and afterwards nothing is owed
-- ARGV[2], ARGV[3], ARGV[4], ...  for each window, in microseconds: what to add; what this instance
--          knows to be owed apart from that (it stands there already, unless Redis lost it); the
--          tolerance
-- Returns  { 1 when charged now, 0 when it had been before; for each window what is owed
--          afterwards }
local key, mark = KEYS[1], KEYS[2]
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local first = redis.call('SET', mark, '1', 'NX', 'PX', ARGV[1])
local stored = redis.pcall('GET', key)
local windows = (#ARGV - 1) / 3

local tats
if type(stored) ~= 'string' then
  tats = {}
elseif windows == 1 then
  tats = { tonumber(stored) }
elseif #stored == 8 * windows then
  tats = { struct.unpack(string.rep('>I8', windows), stored) }
else
  tats = {}
end

local answer, longest, parts = { first and 1 or 0 }, 0, {}
for i = 1, windows do
  local add, known = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local tolerance = tonumber(ARGV[3 * i + 1])
  local debt = 0
  if tats[i] and tats[i] > now then debt = math.floor(tats[i] - now) end
  if first then
    if known > debt then debt = known end
    debt = debt + add
  end
  if debt > tolerance then debt = tolerance end
  if debt > longest then longest = debt end
  answer[i + 1] = debt
  parts[i] = windows == 1 and (now + debt) or struct.pack('>I8', now + debt)
end

if first and longest > 0 then
  local value = windows == 1 and parts[1] or table.concat(parts)
  redis.call('SET', key, value, 'PX', math.ceil(longest / 1000))
end
return answer
