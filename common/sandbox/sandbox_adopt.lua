-- Gives a conversation a new owner, unless somebody else was faster. KEYS: conversation, idle.
-- ARGV: new owner, owner it is taken from, container, project, epoch, ttl in ms, the conversation's id,
-- engine.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[2] then
	return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'container', ARGV[3], 'project', ARGV[4], 'engine', ARGV[8])
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[5])
redis.call('HSETNX', KEYS[1], 'used', now)
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('ZADD', KEYS[2], 'NX', now, ARGV[7])
return 1
