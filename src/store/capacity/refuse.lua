-- The first thing that a take does, because most of a rush ends here: refuses on one look at a gate
-- that is known to have too little.
local seen = redis.pcall('HMGET', KEYS[1], 'left', 'capacity', 'seeded')
local few, all = tonumber(seen[1] or ''), tonumber(seen[2] or '')
if few and all and few < tonumber(ARGV[2]) and few >= 0 and few <= all and few % 1 == 0
    and all <= 9007199254740000 and (tonumber(seen[3] or '') or 0) >= tonumber(ARGV[1]) then
    return {2, few, all, 0, 0}
end

