-- A part of other scripts: what waits in the list KEYS[2], in its order, is the next to be taken from KEYS[3].
while true do
	local message = redis.call('LPOP', KEYS[2])
	if not message then
		break
	end
	redis.call('RPUSH', KEYS[3], message)
	moved = moved + 1
end
if moved > 0 then
	put_behind(places)
end
