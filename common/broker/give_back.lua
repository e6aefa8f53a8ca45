-- Gives deliveries of ours back to the front of the lists they came from, the last one of ARGV in front of all.
-- KEYS: unacked, unacked_index, then the list of each. ARGV: tag and length of the end of its record, for each.
-- Returns how many were still recorded.
local count = 0
for i = 3, #KEYS do
	local tag, ending = ARGV[2 * i - 5], tonumber(ARGV[2 * i - 4])
	local record = redis.call('HGET', KEYS[1], tag)
	if record then
		redis.call('RPUSH', KEYS[i], string.sub(record, 2, -(ending + 1)))
		redis.call('HDEL', KEYS[1], tag)
		count = count + 1
	end
	redis.call('ZREM', KEYS[2], tag)
end
return count
