-- A part of other scripts: is the life over of whoever has this place? One that has no owner is nobody's.
local function is_dead(base, place)
	local name, epoch = string.match(place, '^(.*)@(%d+):%d+$')
	local lease = name and redis.call('GET', base .. 'node:' .. name)
	return not lease or string.sub(lease, 1, #epoch + 1) ~= epoch .. ' '
end
