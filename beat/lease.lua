-- Takes the lease of the beat that leads, renews it, or with a ttl of 0 lets go of it. KEYS: lease. ARGV: our value, ttl
-- in ms. Returns who has it then, '' = nobody.
local leader = redis.call('GET', KEYS[1])
if leader and leader ~= ARGV[1] then
	return leader
end
if ARGV[2] == '0' then
	redis.call('DEL', KEYS[1])
	return ''
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ARGV[1]
