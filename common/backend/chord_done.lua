-- The body of a chord is out: its set goes, and parts that come late find that it is over.
-- KEYS as in chord_part.lua. ARGV: group id, seconds to remember it.
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[7])
redis.call('ZREM', KEYS[8], ARGV[1])
redis.call('SET', KEYS[5], 'done', 'EX', ARGV[2])
return 1
