-- Does anybody who takes calls reach an engine? KEYS: owners that reach it, owners that take calls, since when nobody does.
-- ARGV: ttl of the last in ms. Answers {1, 0} or {0, for how long it has been seen that nobody does, in ms}.
for _, owner in ipairs(redis.call('SMEMBERS', KEYS[1])) do
	if redis.call('SISMEMBER', KEYS[2], owner) == 1 then
		redis.call('DEL', KEYS[3])
		return {1, 0}
	end
	redis.call('SREM', KEYS[1], owner)
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[3], string.format('%d', now), 'NX', 'PX', ARGV[1])
return {0, now - tonumber(redis.call('GET', KEYS[3]))}
