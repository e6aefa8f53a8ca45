-- Some of the dead, the oldest first. KEYS: the list. ARGV: how many older ones to pass over, how many at most, and how many
-- bytes of each to show.
-- Answers three values for each: what it is called, its length, its first bytes. One at a time: they may be large.
local found = {}
for at = tonumber(ARGV[1]), ARGV[1] + ARGV[2] - 1 do
	local entry = redis.call('LINDEX', KEYS[1], -1 - at)
	if not entry then
		break
	end
	found[#found + 1] = string.sub(redis.sha1hex(entry), 1, 16)
	found[#found + 1] = #entry
	found[#found + 1] = string.sub(entry, 1, tonumber(ARGV[3]))
end
return found
