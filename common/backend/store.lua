-- Stores one task meta unless SUCCESS is there already. KEYS: result key. ARGV: meta, ttl in seconds (0 = for ever).
local function succeeded(meta)
	local ok, object = pcall(cjson.decode, meta)
	if not ok then
		ok, object = pcall(cmsgpack.unpack, meta)
	end
	if ok and type(object) == 'table' then
		return object['status'] == 'SUCCESS'
	end
	return string.find('\n' .. meta, '\nstatus: SUCCESS\n', 1, true) ~= nil -- YAML
end
local old = redis.call('GET', KEYS[1])
if old and succeeded(old) then
	return 0
end
if ARGV[2] == '0' then
	redis.call('SET', KEYS[1], ARGV[1])
else
	redis.call('SETEX', KEYS[1], ARGV[2], ARGV[1])
end
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
