-- Ends one delivery: what follows from it, its result, then what becomes of the message.
-- KEYS: unacked, unacked_index, target list, result key ('' = none), then one per step.
-- ARGV: tag, outcome (ack | requeue | dead), end of the unacked record, line for the dead, result,
-- its ttl in seconds, then per step its kind, data and ttl.
-- The steps belong to whoever holds the delivery: without its record, nothing of them is done.
-- A stored SUCCESS is never overwritten, as in Celery's own backend.
local function succeeded(meta)
	local ok, object = pcall(cjson.decode, meta)
	return ok and type(object) == 'table' and object['status'] == 'SUCCESS'
end
local function store(key, value, ttl)
	if ttl == '0' then
		redis.call('SET', key, value)
	else
		redis.call('SETEX', key, ttl, value)
	end
	redis.call('PUBLISH', key, value)
end
if #KEYS > 4 and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
	for i = 5, #KEYS do
		local at = 7 + 3 * (i - 5)
		local kind = ARGV[at]
		if kind == 'push' then
			redis.call('LPUSH', KEYS[i], ARGV[at + 1])
		elseif kind == 'set' then
			local old = redis.call('GET', KEYS[i])
			if not old or not succeeded(old) then
				store(KEYS[i], ARGV[at + 1], ARGV[at + 2])
			end
		elseif kind == 'delete' then
			redis.call('DEL', KEYS[i])
		elseif kind == 'remove' then
			redis.call('SREM', KEYS[i], ARGV[at + 1])
		elseif redis.call('EXISTS', KEYS[i]) == 0 then
			break
		end
	end
end
if KEYS[4] ~= '' then
	local old = redis.call('GET', KEYS[4])
	if not old or not succeeded(old) then
		store(KEYS[4], ARGV[5], ARGV[6])
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
