-- A part of other scripts: what was put into the list of all comes before everything that is taken and not routed now. A half
-- in the score of a place says so, and leaves it where it is.
local function put_behind(places)
	local all = redis.call('ZRANGE', places, 0, -1, 'WITHSCORES')
	for i = 1, #all, 2 do
		if tonumber(all[i + 1]) % 1 == 0 then
			redis.call('ZADD', places, 'XX', string.format('%.1f', tonumber(all[i + 1]) + 0.5), all[i])
		end
	end
end
