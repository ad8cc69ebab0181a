-- Begins the table of revocations, or says which one stands.
--
-- KEYS[1]  the table: a hash. Field `*` is its head: a random id that stands for this table, and
--          the cut-off of everybody in milliseconds; the other fields are revocations (see add.lua)
-- ARGV[1]  the id of a new table;  ARGV[2]  the id that is to be replaced by it, or empty
-- Returns  the head
local head = redis.pcall('HGET', KEYS[1], '*')
if type(head) == 'table' then
  -- A value of another type is not ours.
  redis.call('DEL', KEYS[1])
  head = false
end
local id, cut = string.match(head or '', '^(%x+):(%d+)$')
if not id or id == ARGV[2] then
  head = ARGV[1] .. ':' .. (cut or '0')
  redis.call('HSET', KEYS[1], '*', head)
end
return head
