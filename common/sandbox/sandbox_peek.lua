-- As sandbox_acquire, but leaves the idle clock alone: for those who come to remove. KEYS: lease, conversation.
-- ARGV: token, ttl in ms.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
	return {0, redis.call('GET', KEYS[1])}
end
return {1, redis.call('HGETALL', KEYS[2])}
