-- Takes one of the dead away, and puts its message into a queue if there is one. KEYS: the list, and the queue's list.
-- ARGV: how many older ones there are, and what it is called. Answers 1, or 0 when another stands there by now.
local entry = redis.call('LINDEX', KEYS[1], -1 - ARGV[1])
if not entry or string.sub(redis.sha1hex(entry), 1, 16) ~= ARGV[2] then
	return 0
end
if KEYS[2] then
	local kind = redis.call('TYPE', KEYS[2]).ok
	if kind ~= 'list' and kind ~= 'none' then
		return redis.error_reply('WRONGTYPE the queue ' .. KEYS[2] .. ' is no list')
	end
	redis.call('LPUSH', KEYS[2], string.sub(entry, (string.find(entry, '\n', 1, true) or 0) + 1))
end
return redis.call('LREM', KEYS[1], -1, entry)
