-- Stores one task meta unless SUCCESS is there already. KEYS: result key. ARGV: meta, ttl in seconds (0 = for ever).
-- include meta.lua
local old = redis.call('GET', KEYS[1])
if old and succeeded(old) then
	return 0
end
store(KEYS[1], ARGV[1], ARGV[2])
return 1
