-- KEYS: the record, its tombstone.
-- ARGV: how long the tombstone stands at least, in ms; '1': also where there is no record; spare it
-- when it began after this.
-- Whatever stands at the record's key goes, also what is none of ours. Answers whether there was
-- something.
local record, gone = KEYS[1], KEYS[2]
local existed = redis.call('EXISTS', record)
if existed == 0 and ARGV[2] ~= '1' then return 0 end
local created, ends
local head = redis.pcall('GETRANGE', record, '0', '55')
if type(head) == 'table' then
  -- The form before.
  created, ends = redis.pcall('HGET', record, 'c'), redis.pcall('HGET', record, 'a')
  created = type(created) == 'string' and tonumber(created)
  ends = type(ends) == 'string' and tonumber(ends)
elseif #head == 56 and string.sub(head, 1, 3) == 'eks' then
  created, ends = struct.unpack('>I8', head, 25), struct.unpack('>I8', head, 49)
end
if ARGV[3] ~= '' and created and created > tonumber(ARGV[3]) then return 0 end
local stands = tonumber(ARGV[1])
if ends then
  local time = redis.call('TIME')
  stands = math.max(stands, ends - (time[1] * 1000 + math.floor(time[2] / 1000)))
end
redis.call('SET', gone, '1', 'PX', string.format('%.0f', math.max(stands, 1)))
redis.call('DEL', record)
return existed
