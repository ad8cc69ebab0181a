-- The law of lockout inside Redis: applies one change to one subject and returns the state. Same
-- law as law.rs; a differential test holds the two together.
--
-- KEYS[1]  the subject: a hash. `until` and `locks` (milliseconds of Redis's clock; consecutive
--          locks); `unlocked` when it was last unlocked, `remembered` for how long that is kept;
--          `cleared` when failed attempts were last settled: by a success, a lock or an unlock;
--          `o<nonce>` an attempt that is open, `f<nonce>` one that failed, each with the time at
--          which it began
-- ARGV[1]  the change: begin, fail, succeed, cancel (each with ARGV[9] a nonce), lock (ARGV[9]
--          milliseconds), unlock, read
-- ARGV[2..8]  threshold, window, lock time, growth, longest lock, how long locks are remembered,
--          attempt timeout
-- ARGV[10..]  optional, what an instance knows, taken in before the change: for how long it is
--          locked, consecutive locks, when that was known (nothing of the lock is taken if it was
--          unlocked since, no attempt if they were settled since); then nonce, age, 1 when failed,
--          for each attempt
-- Returns  { 1 when admitted plus 2 when newly locked, time in microseconds, locked for,
--          consecutive locks, then nonce, age, 1 when failed, for each attempt }

-- Ends of a lock that are nearer than this, in milliseconds, are the same end: told back, it comes
-- later by what a trip took, so that a lock which is asked for would never end.
local SAME_END = 1000

local key, op = KEYS[1], ARGV[1]
local threshold, window, lock, growth = ARGV[2] + 0, ARGV[3] + 0, ARGV[4] + 0, ARGV[5] + 0
local longest, memory, attempt_timeout = ARGV[6] + 0, ARGV[7] + 0, ARGV[8] + 0
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local locked_until, locks, slots, count, failures, newly_locked = 0, 0, {}, 0, 0, 0
local unlocked, remembered, cleared = 0, 0, 0
local function recount()
  count, failures = 0, 0
  for _, slot in pairs(slots) do
    count = count + 1
    if slot.failed then failures = failures + 1 end
  end
end
-- Whether that was news.
local function add(nonce, at, failed)
  local known = slots[nonce]
  if known and (known.failed or not failed) then return false end
  slots[nonce] = { at = known and known.at or at, failed = failed }
  return true
end
local function forget_failed()
  for nonce, slot in pairs(slots) do
    if slot.failed then
      slots[nonce] = nil
      cleared = now
    end
  end
end
local function advance()
  for nonce, slot in pairs(slots) do
    if slot.at > now then slot.at = now end
    if now - slot.at >= attempt_timeout then slot.failed = true end
    if now - slot.at >= window then slots[nonce] = nil end
  end
  if locks > 0 and now >= locked_until + memory then locks = 0 end
  recount()
  if failures >= threshold then
    forget_failed()
    if locked_until <= now then
      local time = math.floor(math.min(lock * growth ^ math.min(locks, 1000), longest))
      locked_until = now + math.max(time, math.min(lock, longest))
      locks = locks + 1
      newly_locked = 2
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
  if field == 'until' then locked_until = value
  elseif field == 'locks' then locks = value
  elseif field == 'unlocked' then unlocked = value
  elseif field == 'remembered' then remembered = value
  elseif field == 'cleared' then cleared = value
  elseif kind == 'o' or kind == 'f' then add(nonce, value, kind == 'f') end
end

advance()
local learnt = false
if #ARGV > 9 then
  local locked_for, consecutive, as_of = ARGV[10] + 0, ARGV[11] + 0, ARGV[12] + 0
  if unlocked < as_of then
    if locked_for > 0 and now + locked_for > locked_until + SAME_END then
      locked_until, learnt = now + locked_for, true
    end
    if consecutive > locks then locks, learnt = consecutive, true end
  end
  if cleared < as_of then
    for i = 13, #ARGV, 3 do
      learnt = add(ARGV[i], now - ARGV[i + 1], ARGV[i + 2] == '1') or learnt
    end
  end
  advance()
end
local admitted = 0
if op == 'begin' then
  if locked_until <= now and count < threshold then
    admitted = 1
    add(ARGV[9], now, false)
  end
elseif op == 'fail' then add(ARGV[9], now, true)
elseif op == 'succeed' then
  forget_failed()
  slots[ARGV[9]] = nil
elseif op == 'cancel' then slots[ARGV[9]] = nil
elseif op == 'lock' then locked_until, newly_locked = math.max(locked_until, now + ARGV[9]), 2
elseif op == 'unlock' then
  -- For as long as anybody may still know of a lock.
  remembered = math.max(remembered, locked_until, now + longest)
  unlocked, cleared, locked_until, locks, slots = now, now, 0, 0, {}
end
advance()

local time = clock[1] * 1000000 + clock[2]
local answer = { admitted + newly_locked, time, math.max(locked_until - now, 0), locks }
local fields, expires_at = {}, 0
if locked_until > 0 then
  expires_at = locked_until + (locks > 0 and memory or 0)
  if expires_at > now then
    fields = { 'until', string.format('%.0f', locked_until), 'locks', locks }
  end
end
if remembered > now then
  expires_at = math.max(expires_at, remembered)
  local when, till = string.format('%.0f', unlocked), string.format('%.0f', remembered)
  for _, field in ipairs({ 'unlocked', when, 'remembered', till }) do
    fields[#fields + 1] = field
  end
end
-- For as long as anybody may still know of an attempt that was settled.
if cleared + window > now then
  expires_at = math.max(expires_at, cleared + window)
  fields[#fields + 1] = 'cleared'
  fields[#fields + 1] = string.format('%.0f', cleared)
end
for nonce, slot in pairs(slots) do
  expires_at = math.max(expires_at, slot.at + window)
  fields[#fields + 1] = (slot.failed and 'f' or 'o') .. nonce
  fields[#fields + 1] = string.format('%.0f', slot.at)
  answer[#answer + 1] = nonce
  answer[#answer + 1] = now - slot.at
  answer[#answer + 1] = slot.failed and 1 or 0
end
-- A read or a refusal changes nothing, unless it told what was not known, or time alone has locked
-- the subject (an attempt timed out).
if newly_locked == 2 or admitted == 1 or learnt or (op ~= 'read' and op ~= 'begin') then
  redis.call('DEL', key)
  if #fields > 0 then
    redis.call('HSET', key, unpack(fields))
    redis.call('PEXPIREAT', key, string.format('%.0f', math.ceil(expires_at)))
  end
end
return answer
