-- Stores one task meta only if nobody has begun the task. KEYS: result key. ARGV: meta, ttl in seconds (0 = for ever).
-- include meta.lua
local waiting = {PENDING = true, RECEIVED = true, RETRY = true, REJECTED = true}
local old = redis.call('GET', KEYS[1])
if old then
	local ok, object = pcall(cjson.decode, old)
	if not ok or type(object) ~= 'table' or not waiting[object['status']] then
		return 0
	end
end
store(KEYS[1], ARGV[1], ARGV[2])
return 1
