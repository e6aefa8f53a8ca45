-- Renews a lease that is still ours, or that nobody has. KEYS: lease. ARGV: token, ttl in ms.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
