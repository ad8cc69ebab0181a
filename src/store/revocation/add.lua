-- Takes revocations in. What stands there is raised, never lowered: the same again changes nothing.
--
-- KEYS[1]  the table: a hash from digest to "<until>:<cut-off>" (seconds; milliseconds, 0 for a
--          token id); `*` is its head (see open.lua), `#` numbers the entries of the log
-- KEYS[2]  the log of changes: a stream; `n` is the number, `e` the digest followed by the value
-- ARGV[1]  how many entries of the log to keep;  ARGV[2]  the cut-off of everybody, or 0
-- ARGV[3], ARGV[4], ARGV[5], ...  for each revocation its digest, its expiry, its cut-off
-- Returns  { the head, or '' when there is no table; how many changed }
local tab, log = KEYS[1], KEYS[2]
local head = redis.pcall('HGET', tab, '*')
if type(head) == 'table' then
  redis.call('DEL', tab)
  head = false
end
local id, cut = string.match(head or '', '^(%x+):(%d+)$')
if id and tonumber(ARGV[2]) > tonumber(cut) then
  head = id .. ':' .. ARGV[2]
  redis.call('HSET', tab, '*', head)
end

local changed = 0
for i = 3, #ARGV, 3 do
  local digest, expiry, cut_off = ARGV[i], ARGV[i + 1] + 0, ARGV[i + 2] + 0
  local held = redis.call('HGET', tab, digest)
  local new = true
  if held then
    local t, o = string.match(held, '^(%d+):(%d+)$')
    t, o = tonumber(t) or 0, tonumber(o) or 0
    new = expiry > t or cut_off > o
    if t > expiry then expiry = t end
    if o > cut_off then cut_off = o end
  end
  if new then
    local value = string.format('%.0f:%.0f', expiry, cut_off)
    redis.call('HSET', tab, digest, value)
    local number = redis.call('HINCRBY', tab, '#', 1)
    local entry = { 'XADD', log, 'MAXLEN', '~', ARGV[1], '*', 'n', number, 'e', digest .. value }
    local added = redis.pcall(unpack(entry))
    if type(added) == 'table' then
      redis.call('DEL', log)
      redis.call(unpack(entry))
    end
    changed = changed + 1
  end
end
return { id and head or '', changed }
