-- A part of other scripts: a delivery goes back to the front of the list it came from, as `again` makes its message.
-- 1 = it did, 0 = it was settled meanwhile, -1 = a record that is not ours; else Redis' error.
local function put_back(unacked, index, tag, prefix, suffix, again)
	local record = redis.call('HGET', unacked, tag)
	if not record then
		redis.call('ZREM', index, tag)
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
	local pushed = redis.pcall('RPUSH', prefix .. name[1] .. suffix, again(message))
	if type(pushed) ~= 'number' then
		return pushed
	end
	redis.call('ZREM', index, tag)
	redis.call('HDEL', unacked, tag)
	return 1
end
