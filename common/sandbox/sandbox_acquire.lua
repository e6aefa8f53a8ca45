-- Takes the lease of a conversation and reads what the index knows of it. KEYS: lease, conversation, idle.
-- ARGV: token, ttl in ms, a holder that may be replaced ('' = none), now in ms, the conversation's id.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then
	return {0, holder}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
-- The idle clock is set at the start of a call and at its end.
redis.call('ZADD', KEYS[3], 'XX', ARGV[4], ARGV[5])
return {1, redis.call('HGETALL', KEYS[2])}
