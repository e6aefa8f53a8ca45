-- Ends several deliveries that leave nothing but a result: stores it, tells of it, acknowledges the message.
-- KEYS: unacked, unacked_index, then per delivery its result key ('' = no result).
-- ARGV: ttl of the results in seconds, then per delivery its tag and result.
-- Answers how many there were, or, when something is wrong with some, 1 or 0 for each: of a 0 nothing was done, and settle.lua
-- says what it is.
-- include ../backend/meta.lua
local ttl, tags, answers, wrong = ARGV[1], {}, {}, false
local function keep(key, meta)
	local set
	if ttl == '0' then
		set = redis.pcall('SET', key, meta, 'NX')
	else
		set = redis.pcall('SET', key, meta, 'EX', ttl, 'NX')
	end
	if set and set.ok then
		redis.call('PUBLISH', key, meta)
		return true
	end
	local old = not set and redis.pcall('GET', key)
	if type(old) ~= 'string' then
		return false, set and set.err
	end
	if not succeeded(old) then
		store(key, meta, ttl)
	end
	return true
end
for i = 3, #KEYS do
	local at = 2 * i - 4
	local done, reason = true, nil
	if KEYS[i] ~= '' then
		done, reason = keep(KEYS[i], ARGV[at + 1])
	end
	if done then
		tags[#tags + 1] = ARGV[at]
	elseif reason and #tags == 0 then
		return redis.error_reply(reason) -- of this server, at this time
	end
	answers[i - 2] = done and 1 or 0
	wrong = wrong or not done
end
if #tags > 0 then
	redis.call('ZREM', KEYS[2], unpack(tags))
	redis.call('HDEL', KEYS[1], unpack(tags))
end
return wrong and answers or #answers
