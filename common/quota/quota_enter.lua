-- May a call of a project begin? Nothing is noted unless it may.
-- KEYS: calls (by time), runs (members), milliseconds (a day's number follows)
-- ARGV: most calls a minute, most runs, most milliseconds a day (each -1: no limit), id of the call,
--       its member of the runs ("node@epoch|id"), prefix of the nodes' leases
-- Returns {0}, or {what is used up: 1 calls, 2 runs, 3 milliseconds, milliseconds until it opens, -1: not known}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local day = 86400000
local calls, runs, budget = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local function alive(member)
	local node, epoch = member:match('^(.-)@(%-?%d+)|')
	local lease = node and redis.call('GET', ARGV[6] .. node)
	return lease and lease:sub(1, #epoch + 1) == epoch .. ' '
end

if budget >= 0 then
	local used = tonumber(redis.call('GET', KEYS[3] .. math.floor(now / day)) or '0')
	if used >= budget then
		return {3, day - now % day}
	end
end
if runs >= 0 and redis.call('SISMEMBER', KEYS[2], ARGV[5]) == 0 and redis.call('SCARD', KEYS[2]) >= runs then
	-- what dead workers ran does not count
	for _, member in ipairs(redis.call('SMEMBERS', KEYS[2])) do
		if not alive(member) then
			redis.call('SREM', KEYS[2], member)
		end
	end
	if redis.call('SCARD', KEYS[2]) >= runs then
		return {2, -1}
	end
end
if calls >= 0 then
	redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 60000)
	if not redis.call('ZSCORE', KEYS[1], ARGV[4]) then
		if redis.call('ZCARD', KEYS[1]) >= calls then
			local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
			return {1, oldest[2] and oldest[2] + 60000 - now or 60000}
		end
		redis.call('ZADD', KEYS[1], now, ARGV[4])
		redis.call('PEXPIRE', KEYS[1], 60000)
	end
end
redis.call('SADD', KEYS[2], ARGV[5])
return {0}
