-- Puts a delivery of ours back to the front of the list it came from. KEYS: unacked, unacked_index.
-- ARGV: tag, global key prefix, separator and priority step of the list ('' for the first).
-- 1 = restored, 0 = it was settled meanwhile, -1 = a record that is not ours.
-- include redelivered.lua
-- include put_back.lua
return put_back(KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], redelivered)
