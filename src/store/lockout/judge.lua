-- The law of lockout inside Redis: counts and judges in one go. Same law as law.rs; a differential test holds them together.
--
-- KEYS[1]  the subject: a hash. `until` and `strikes` (milliseconds of Redis's clock; locks in a row); `o<nonce>` an attempt that is
--          being judged, `f<nonce>` one that failed, each with the time at which it began
-- ARGV[1]  what to do: begin, fail, succeed, cancel (each with ARGV[9] a nonce), lock (ARGV[9] milliseconds), unlock, look,
--          merge (ARGV[9] for how long it is locked, ARGV[10] strikes, then nonce, age, 1 when failed, for each attempt)
-- ARGV[2..8]  threshold, window, lock time, growth, longest lock, how long strikes are remembered, patience
-- Returns  { 1 when admitted plus 2 when a lock fell, time in microseconds, locked for, strikes, then nonce, age, 1 when failed, for each attempt }
local key, op = KEYS[1], ARGV[1]
local threshold, window, lock, growth = ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0
local longest, forget, patience = ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local till, strikes, marks, count, failures, fell = 0, 0, {}, 0, 0, 0
local function recount()
  count, failures = 0, 0
  for _, mark in pairs(marks) do
    count = count + 1
    if mark.failed then failures = failures + 1 end
  end
end
local function add(nonce, at, failed)
  local known = marks[nonce]
  if known then known.failed = known.failed or failed else marks[nonce] = { at = at, failed = failed } end
end
local function forget_failed()
  for nonce, mark in pairs(marks) do if mark.failed then marks[nonce] = nil end end
end
local function settle()
  for nonce, mark in pairs(marks) do
    if mark.at > now then mark.at = now end
    if now - mark.at >= patience then mark.failed = true end
    if now - mark.at >= window then marks[nonce] = nil end
  end
  if strikes > 0 and now >= till + forget then strikes = 0 end
  recount()
  if failures >= threshold then
    forget_failed()
    if till <= now then
      local time = math.floor(math.min(lock * growth ^ math.min(strikes, 1000), longest))
      till = now + math.max(time, math.min(lock, longest))
      strikes = strikes + 1
      fell = 2
    end
    recount()
  end
end

local held = redis.pcall('HGETALL', key)
if held.err then
  -- A value of another type is not ours.
  redis.call('DEL', key)
  held = {}
end
for i = 1, #held, 2 do
  local field, value = held[i], tonumber(held[i + 1]) or 0
  local kind, nonce = string.sub(field, 1, 1), string.sub(field, 2)
  if field == 'until' then till = value
  elseif field == 'strikes' then strikes = value
  elseif kind == 'o' or kind == 'f' then add(nonce, value, kind == 'f') end
end

settle()
local admitted = 0
if op == 'begin' then
  if till <= now and count < threshold then
    admitted = 1
    add(ARGV[9], now, false)
  end
elseif op == 'fail' then add(ARGV[9], now, true)
elseif op == 'succeed' then
  forget_failed()
  marks[ARGV[9]] = nil
elseif op == 'cancel' then marks[ARGV[9]] = nil
elseif op == 'lock' then till, fell = math.max(till, now + ARGV[9]), 2
elseif op == 'unlock' then till, strikes, marks = 0, 0, {}
elseif op == 'merge' then
  if ARGV[9] + 0 > 0 then till = math.max(till, now + ARGV[9]) end
  strikes = math.max(strikes, ARGV[10] + 0)
  for i = 11, #ARGV, 3 do add(ARGV[i], now - ARGV[i + 1], ARGV[i + 2] == '1') end
end
settle()

local answer = { admitted + fell, clock[1] * 1000000 + clock[2], math.max(till - now, 0), strikes }
local fields, clear = {}, 0
if till > 0 then
  clear = till + (strikes > 0 and forget or 0)
  if clear > now then fields = { 'until', string.format('%.0f', till), 'strikes', strikes } end
end
for nonce, mark in pairs(marks) do
  clear = math.max(clear, mark.at + window)
  fields[#fields + 1] = (mark.failed and 'f' or 'o') .. nonce
  fields[#fields + 1] = string.format('%.0f', mark.at)
  answer[#answer + 1] = nonce
  answer[#answer + 1] = now - mark.at
  answer[#answer + 1] = mark.failed and 1 or 0
end
-- A look or a refusal changes nothing, unless a lock fell by the passing of time.
if fell == 2 or admitted == 1 or (op ~= 'look' and op ~= 'begin') then
  redis.call('DEL', key)
  if #fields > 0 then
    redis.call('HSET', key, unpack(fields))
    redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil(clear)))
  end
end
return answer
