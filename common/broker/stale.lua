-- Puts back a message that somebody held longer than the visibility timeout (QoS.restore_by_tag of kombu, which watches the
-- whole hash and loses what finds no queue). KEYS: unacked, unacked_index, the list of the dead, the binding set ('' = the
-- anonymous exchange).
-- ARGV: tag, its score when it was read, message, whether it has a record (1 | 0), routing key, kind of the exchange, global key prefix,
-- separator, priority step as the end of a list's name, list of undeliverable messages ('' = none), line for the dead.
-- 0 = it is not stale any more, 1 = put back, 2 = among the dead, 3 = there was nothing but its place in the index.
if redis.call('ZSCORE', KEYS[2], ARGV[1]) ~= ARGV[2] then
	return 0
end
-- include bindings.lua
local message, key, prefix, suffix, undeliverable = ARGV[3], ARGV[5], ARGV[7], ARGV[9], ARGV[10]
local held = redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1
if held ~= (ARGV[4] == '1') then
	return 0
end
local function forget(answer)
	redis.call('ZREM', KEYS[2], ARGV[1])
	redis.call('HDEL', KEYS[1], ARGV[1])
	return answer
end
if not held then
	return forget(3)
end
local queues = {key ~= '' and key or nil}
if KEYS[4] ~= '' then
	queues = bound_queues(KEYS[4], key, ARGV[6], ARGV[8])
end
local sent = false
for _, queue in ipairs(queues) do
	local list = prefix .. queue .. suffix
	if is_list(list) then
		redis.call('RPUSH', list, message)
		sent = true
	end
end
if not sent and undeliverable ~= '' and is_list(undeliverable) then
	redis.call('RPUSH', undeliverable, message)
	sent = true
end
if not sent then
	redis.call('LPUSH', KEYS[3], ARGV[11] .. '\n' .. message)
end
return forget(sent and 1 or 2)
