-- Gives a conversation a new owner, unless somebody else was faster. KEYS: conversation, idle.
-- ARGV: new owner, owner it is taken from, container, project, epoch, now in ms, ttl in ms, the conversation's id.
local owner = redis.call('HGET', KEYS[1], 'owner')
if owner and owner ~= ARGV[2] then
	return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'container', ARGV[3], 'project', ARGV[4])
redis.call('HSETNX', KEYS[1], 'epoch', ARGV[5])
redis.call('HSETNX', KEYS[1], 'used', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
redis.call('ZADD', KEYS[2], 'NX', ARGV[6], ARGV[8])
return 1
