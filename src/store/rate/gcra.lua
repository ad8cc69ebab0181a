-- The law of the rate limit inside Redis: GCRA over one or several windows, all or nothing.
-- Same law as law.rs (decide) and debt.rs (take_up_to, give_back); a differential test holds them
-- together.
--
-- KEYS[1]  the subject. Holds when nothing is owed any more, in Redis's own microseconds, for each
--          window: one window as a decimal number (Redis keeps it as an integer), several as 8
--          bytes each.
-- ARGV[1]  cost in cells; 0 asks only; below 0 gives that many back
-- ARGV[2]  cost > 0: 1 takes as many as fit up to the cost (a lease), 0 all or nothing
--          cost < 0: how long ago the cells were taken, in microseconds
-- ARGV[3], ARGV[4], ...  for each window its emission interval and its tolerance, in microseconds
-- Returns  { cells taken, or -1 when refused; for each window what is owed afterwards, in
--          microseconds }
--
-- Microseconds since 1970 are below 2^53 until 2255, so doubles hold them exactly. `+ 0` reads a
-- number from a string, and `x - x % 1` rounds down, both without a call. One window, the common
-- case, has its own lines without tables: a tenth faster in all.
local key, cost, how = KEYS[1], ARGV[1] + 0, ARGV[2] + 0
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
-- Not `call`: a value of another type is not ours; it reads as nothing and is overwritten by the
-- next SET.
local stored = redis.pcall('GET', key)

-- One window.
if #ARGV == 4 then
  local emission, tolerance = ARGV[3] + 0, ARGV[4] + 0
  local tat = type(stored) == 'string' and tonumber(stored)
  local debt, mend = 0, false
  -- A NaN fails every comparison, and so reads as nothing.
  if tat and tat > now then
    debt = tat - now
    -- Further ahead than any request can have put it: the clock stepped back, or it is not ours.
    if debt > tolerance then debt, mend = tolerance, true end
    debt = debt - debt % 1
  end

  local taken, free = cost, tolerance - debt
  if cost > 0 and cost * emission > free then
    taken = how == 1 and (free - free % emission) / emission or -1
  end
  if taken > 0 then
    debt = debt + taken * emission
  elseif cost < 0 then
    -- Only what cannot have decayed since is given back: see debt.rs.
    local back = -cost * emission - how
    if back > 0 then debt = debt > back and debt - back or 0 end
  end

  if debt > 0 then
    -- A refusal or a question writes nothing, unless what stands there needs mending: an impossible
    -- time, or no expiry (then it would stay for ever).
    if taken > 0 or cost < 0 or mend or redis.call('PTTL', key) < 0 then
      local up = debt + 999
      redis.call('SET', key, now + debt, 'PX', (up - up % 1000) / 1000)
    end
  elseif cost < 0 then
    redis.call('DEL', key)
  end
  return { taken, debt }
end

-- Several: the same, in two passes, because the first that refuses refuses for all.
local windows = (#ARGV - 2) / 2
local tats = {}
if type(stored) == 'string' and #stored == 8 * windows then
  tats = { struct.unpack(string.rep('>I8', windows), stored) }
end

local answer, taken, mend = { 0 }, cost, false
for i = 1, windows do
  local emission, tolerance = ARGV[2 * i + 1] + 0, ARGV[2 * i + 2] + 0
  local tat, debt = tats[i], 0
  if tat and tat > now then
    debt = tat - now
    if debt > tolerance then debt, mend = tolerance, true end
  end
  answer[i + 1] = debt
  local free = tolerance - debt
  if cost > 0 and cost * emission > free then
    local room = how == 1 and (free - free % emission) / emission or -1
    if room < taken then taken = room end
  end
end

local longest, parts = 0, {}
for i = 1, windows do
  local debt, emission = answer[i + 1], ARGV[2 * i + 1] + 0
  if taken > 0 then
    debt = debt + taken * emission
  elseif cost < 0 then
    local back = -cost * emission - how
    if back > 0 then debt = debt > back and debt - back or 0 end
  end
  if debt > longest then longest = debt end
  answer[i + 1], parts[i] = debt, struct.pack('>I8', now + debt)
end
answer[1] = taken

if longest > 0 then
  if taken > 0 or cost < 0 or mend or redis.call('PTTL', key) < 0 then
    local up = longest + 999
    redis.call('SET', key, table.concat(parts), 'PX', (up - up % 1000) / 1000)
  end
elseif cost < 0 then
  redis.call('DEL', key)
end
return answer
