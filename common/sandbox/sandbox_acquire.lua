-- Takes the lease of a conversation and reads what the index knows of it. KEYS: lease, conversation, idle.
-- ARGV: token, ttl in ms, a holder that may be replaced ('' = none), the conversation's id.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then
	return {0, holder}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
-- The idle clock is set at the start of a call and at its end.
redis.call('ZADD', KEYS[3], 'XX', now, ARGV[4])
if redis.call('EXISTS', KEYS[2]) == 1 then
	redis.call('HSET', KEYS[2], 'used', now)
end
return {1, redis.call('HGETALL', KEYS[2])}
