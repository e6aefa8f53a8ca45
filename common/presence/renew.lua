-- Renews a lease that is still ours, or that nobody has. KEYS: lease, owners of the deployment.
-- ARGV: its value, ttl in ms, owner.
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[1] then
	return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[2], ARGV[3])
return 1
