-- Takes the lease of a node name. KEYS: lease, epoch counter, owners of the deployment.
-- ARGV: identity of the process, ttl in ms, the lease value that may be replaced ('' = none), now in seconds, node name.
-- The epoch rises with every life, and stays above every earlier one even when the counter was lost.
local current = redis.call('GET', KEYS[1])
if current and current ~= ARGV[3] then
	return {0, current}
end
local epoch = tonumber(redis.call('GET', KEYS[2]) or '0') + 1
local now = tonumber(ARGV[4])
if epoch < now then
	epoch = now
end
local text = string.format('%d', epoch)
-- A counter that is not needed any more expires: a later life begins above it by the clock.
redis.call('SET', KEYS[2], text, 'EX', 2592000)
redis.call('SET', KEYS[1], text .. ' ' .. ARGV[1], 'PX', ARGV[2])
redis.call('SADD', KEYS[3], ARGV[5] .. '@' .. text)
return {1, text}
