-- Gives one reply to whoever asked, if they still wait. KEYS: the binding set of the reply exchange.
-- ARGV: routing key, name the queue must have, message, milliseconds until an untaken reply is gone, separator, key prefix.
-- Members of the set are "routing key, separator, pattern, separator, queue". 1 = given, 0 = nobody waits.
local wanted = ARGV[1] .. ARGV[5] .. ARGV[5] .. ARGV[2]
if redis.call('SISMEMBER', KEYS[1], wanted) == 0 then
	return 0
end
local list = ARGV[6] .. ARGV[2]
redis.call('LPUSH', list, ARGV[3])
redis.call('PEXPIRE', list, ARGV[4])
return 1
