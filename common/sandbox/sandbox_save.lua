-- Writes a conversation's entry, unless somebody has attached after us. KEYS: conversation, idle.
-- ARGV: container ('' = none any more), owner, project, epoch, ttl in ms, the conversation's id, engine.
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[4]) then
	return 0
end
redis.call('HSET', KEYS[1], 'container', ARGV[1], 'owner', ARGV[2], 'project', ARGV[3], 'epoch', ARGV[4], 'used', now, 'engine', ARGV[7])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if ARGV[1] ~= '' then
	redis.call('ZADD', KEYS[2], now, ARGV[6])
else
	redis.call('ZREM', KEYS[2], ARGV[6])
end
return 1
