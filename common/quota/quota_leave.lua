-- A call has ended; again is nothing.
-- KEYS: runs, milliseconds (a day's number follows)  ARGV: its member of the runs, milliseconds it used
if redis.call('SREM', KEYS[1], ARGV[1]) == 1 and tonumber(ARGV[2]) > 0 then
	local key = KEYS[2] .. math.floor(redis.call('TIME')[1] / 86400)
	redis.call('INCRBY', key, ARGV[2])
	redis.call('EXPIRE', key, 172800)
end
return 1
