-- Makes room among the dead: the oldest go. KEYS: the list. ARGV: how many may stay, how many may go at once.
-- Returns how many went.
local count = math.min(redis.call('LLEN', KEYS[1]) - ARGV[1], tonumber(ARGV[2]))
if count <= 0 then
	return 0
end
redis.call('LTRIM', KEYS[1], 0, -count - 1)
return count
