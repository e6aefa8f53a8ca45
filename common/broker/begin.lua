-- Notes that a delivery of a message that came again begins to run, so that a message which kills whoever runs it can be
-- told from one that was only held. KEYS: unacked, the set of its deliveries that began and were not settled.
-- ARGV: tag, seconds until the set is forgotten.
-- Returns how many there are with this one, -1 when the delivery is no longer recorded as ours. May run twice.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
	return -1
end
redis.call('SADD', KEYS[2], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return redis.call('SCARD', KEYS[2])
