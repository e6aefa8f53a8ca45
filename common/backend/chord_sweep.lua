-- Takes or keeps the right to sweep, and says which open chords were not looked at for the longest time.
-- KEYS: lock, open chords. ARGV: owner, milliseconds of the lock, age in seconds, most to return.
-- Returns false when somebody else has the right.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
	return false
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local before = redis.call('TIME')[1] - ARGV[3]
return redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', before, 'LIMIT', 0, ARGV[4])
