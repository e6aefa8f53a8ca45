-- Stores one task meta only if nobody has begun the task. KEYS: result key. ARGV: meta, ttl in seconds (0 = for ever).
local waiting = {PENDING = true, RECEIVED = true, RETRY = true, REJECTED = true}
local old = redis.call('GET', KEYS[1])
if old then
	local ok, object = pcall(cjson.decode, old)
	if not ok or type(object) ~= 'table' or not waiting[object['status']] then
		return 0
	end
end
if ARGV[2] == '0' then
	redis.call('SET', KEYS[1], ARGV[1])
else
	redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
