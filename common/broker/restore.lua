-- Puts a delivery of ours back to the front of the list it came from. KEYS: unacked, unacked_index.
-- ARGV: tag, global key prefix, separator and priority step of the list ('' for the first).
-- 1 = restored, 0 = it was settled meanwhile, -1 = a record that is not ours.
-- The message says from now on that it was delivered before, where kombu's sweeper says so too; as text, because what cjson
-- reads and writes again is not the same. In a JSON text a quote before a colon ends a key, never a part of a string.
local function redelivered(message)
	local _, at = string.find(message, '"delivery_info"%s*:%s*{%s*')
	if not at then
		_, at = string.find(message, '^{%s*')
	end
	if not at then
		return message
	end
	local rest = string.sub(message, at + 1)
	if string.find(rest, '^"redelivered"%s*:%s*true') then
		return message
	end
	return string.sub(message, 1, at) .. '"redelivered": true' .. (string.byte(rest, 1) == 125 and '' or ', ') .. rest
end
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then
	redis.call('ZREM', KEYS[2], ARGV[1])
	return 0
end
local message, queue = string.match(record, '^%[(.*), "", (".*")%]$')
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
