-- ARGV: the token, and the capacity. Returns how many seats it had, and what is left.
local seats = remove(ARGV[1])
return {seats, string.format('%.0f', math.max(tonumber(ARGV[2]) - taken, 0))}
