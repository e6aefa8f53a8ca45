-- Ends several deliveries that leave nothing but a result: stores it, tells of it, acknowledges the message.
-- KEYS: unacked, unacked_index, then per delivery its result key ('' = no result).
-- ARGV: ttl of the results in seconds, then per delivery its tag and result.
-- Answers how many there were, or, when something is wrong with some, 1 or 0 for each: of a 0 nothing was done, and settle.lua
-- says what it is.
-- include ../backend/meta.lua
local call, keys, args = redis.call, KEYS, ARGV
local ttl, tags, count, answers = args[1], {}, 0, nil
local expire = ttl ~= '0' and {'EX', ttl, 'NX'} or {'NX'}
local function keep(key, meta)
	local set = redis.pcall('SET', key, meta, unpack(expire))
	if set and set.ok then
		call('PUBLISH', key, meta)
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
local function all_ones()
	local ones = {}
	for i = 1, #keys - 2 do
		ones[i] = 1
	end
	return ones
end
for i = 3, #keys do
	local at, key = 2 * i - 4, keys[i]
	local done, reason = true, nil
	if key ~= '' then
		done, reason = keep(key, args[at + 1])
	end
	if done then
		count = count + 1
		tags[count] = args[at]
	elseif reason and count == 0 then
		return redis.error_reply(reason) -- of this server, at this time
	else
		answers = answers or all_ones()
		answers[i - 2] = 0
	end
end
if count > 0 then
	call('ZREM', keys[2], unpack(tags))
	call('HDEL', keys[1], unpack(tags))
end
return answers or count
