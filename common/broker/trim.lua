-- Makes room among the dead: the oldest go. KEYS: the list. ARGV: how many may stay, how many may go at once.
-- Answers how many went, and how many there are.
local there = redis.call('LLEN', KEYS[1])
local count = math.max(0, math.min(there - ARGV[1], tonumber(ARGV[2])))
if count > 0 then
	redis.call('LTRIM', KEYS[1], 0, -count - 1)
end
return {count, there - count}
