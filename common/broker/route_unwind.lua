-- Puts claims back that are not routed and never will be: those of the dead, and ours if we say so. The newest goes first, so
-- that all come again in their order; whoever has a newer one and lives is waited for, and does the same.
-- KEYS: unacked, unacked_index, places, places that are given up. ARGV: our place ('' = none), our owner, '1' = who has no lease
-- is dead, '0' = only an earlier life of our node is, '1' = ours is given up in any case, '0' = where one before it is, start of
-- our keys, global key prefix, separator, most messages of a claim, how many priority steps there are, these, then the tags of
-- what is to be put back of ours, in its order.
-- Answers 1 when our place, or without one every place that was given up, is no more.
-- include redelivered.lua
-- include put_back.lua
-- include route_dead.lua
local unacked, index, places, lost = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ours, me, certain, leaves, base, prefix, sep = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1', ARGV[5], ARGV[6], ARGV[7]
local most, steps = tonumber(ARGV[8]), tonumber(ARGV[9])
redis.call('HLEN', unacked)
redis.call('ZCARD', index)
local function is_over(place)
	local owner = string.match(place, '^(.*):')
	local same_node = string.match(place, '^(.*@)') == string.match(me, '^(.*@)')
	return owner ~= me and (certain or same_node) and is_dead(base, place)
end
for _, place in ipairs(redis.call('ZRANGE', places, 0, -1)) do
	if is_over(place) or (place == ours and leaves) then
		redis.call('SADD', lost, place)
	end
	leaves = leaves or redis.call('SISMEMBER', lost, place) == 1
end
local function same(message)
	return message
end
local function back(tag, again)
	local step = string.match(tag, ':(%d+):%d+$')
	put_back(unacked, index, tag, prefix, step == ARGV[10] and '' or sep .. step, again)
end
-- All that a dead one had taken with it. Whose own list it came from, or what it ran already, is of no matter.
local function back_all(place)
	local owner, first = string.match(place, '^(.*@%d+):(%d+)$')
	for number = (tonumber(first) or 0) + most - 1, tonumber(first) or most, -1 do
		for i = 10, 9 + steps do
			local tag = 'celeriac:' .. owner .. ':' .. ARGV[i] .. ':' .. string.format('%.0f', number)
			if redis.call('HEXISTS', unacked, tag) == 1 then
				back(tag, redelivered)
			end
		end
	end
end
while true do
	local last = redis.call('ZRANGE', places, -1, -1)[1]
	if not last or redis.call('SISMEMBER', lost, last) == 0 then
		break
	end
	if last == ours then
		for i = #ARGV, 10 + steps, -1 do
			back(ARGV[i], same)
		end
	elseif is_over(last) then
		back_all(last)
	else
		break
	end
	redis.call('ZREM', places, last)
end
for _, place in ipairs(redis.call('SMEMBERS', lost)) do
	if not redis.call('ZSCORE', places, place) then
		redis.call('SREM', lost, place)
	end
end
if ours ~= '' then
	return redis.call('ZSCORE', places, ours) and 0 or 1
end
return redis.call('EXISTS', lost) == 1 and 0 or 1
