-- Writes a conversation's entry, unless somebody has attached after us. KEYS: conversation, idle.
-- ARGV: container ('' = none any more), owner, project, epoch, now in ms, ttl in ms, the conversation's id.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[4]) then
	return 0
end
redis.call('HSET', KEYS[1], 'container', ARGV[1], 'owner', ARGV[2], 'project', ARGV[3], 'epoch', ARGV[4], 'used', ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[6])
if ARGV[1] ~= '' then
	redis.call('ZADD', KEYS[2], ARGV[5], ARGV[7])
else
	redis.call('ZREM', KEYS[2], ARGV[7])
end
return 1
