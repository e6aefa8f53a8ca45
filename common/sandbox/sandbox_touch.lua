-- Sets the idle clock of a conversation that has a container. KEYS: conversation, idle. ARGV: the conversation's id.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
if redis.call('EXISTS', KEYS[1]) == 0 then
	return 0
end
redis.call('HSET', KEYS[1], 'used', now)
return redis.call('ZADD', KEYS[2], 'XX', 'CH', now, ARGV[1])
