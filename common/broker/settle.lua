-- Ends one delivery: its result first, then what becomes of the message.
-- KEYS: unacked, unacked_index, target list, result key ('' = none).
-- ARGV: tag, outcome (ack | requeue | dead), end of the unacked record, line for the dead, result, its ttl in seconds.
-- A stored SUCCESS is never overwritten, as in Celery's own backend.
local function succeeded(meta)
	local ok, object = pcall(cjson.decode, meta)
	return ok and type(object) == 'table' and object['status'] == 'SUCCESS'
end
if KEYS[4] ~= '' then
	local old = redis.call('GET', KEYS[4])
	if not old or not succeeded(old) then
		if ARGV[6] == '0' then
			redis.call('SET', KEYS[4], ARGV[5])
		else
			redis.call('SETEX', KEYS[4], ARGV[6], ARGV[5])
		end
		redis.call('PUBLISH', KEYS[4], ARGV[5])
	end
end
if ARGV[2] ~= 'ack' then
	local record = redis.call('HGET', KEYS[1], ARGV[1])
	if record then
		local message = string.sub(record, 2, -(#ARGV[3] + 1))
		if ARGV[2] == 'dead' then
			redis.call('LPUSH', KEYS[3], ARGV[4] .. '\n' .. message)
		else
			redis.call('RPUSH', KEYS[3], message)
		end
	end
end
redis.call('ZREM', KEYS[2], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
