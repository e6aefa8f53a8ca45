-- Puts a delivery of ours back to the front of the list it came from. KEYS: unacked, unacked_index.
-- ARGV: tag, global key prefix, separator and priority step of the list ('' for the first).
-- 1 = restored, 0 = it was settled meanwhile, -1 = a record that is not ours.
-- include redelivered.lua
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then
	redis.call('ZREM', KEYS[2], ARGV[1])
	return 0
end
-- The end first: a match that fails there would be tried again from everywhere.
local message, queue
if string.sub(record, -2) == '"]' then
	message, queue = string.match(record, '^%[(.*), "", (".*")%]$')
end
if not message then
	return -1
end
local ok, name = pcall(cjson.decode, '[' .. queue .. ']')
if not ok or type(name[1]) ~= 'string' then
	return -1
end
redis.call('RPUSH', ARGV[2] .. name[1] .. ARGV[3], redelivered(message))
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
