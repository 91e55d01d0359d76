-- fix_cut(checkpoint; tag, epoch, cut) -> 1, or 0 when the epoch is stale
--
-- {learner}:epoch       compared
-- {learner}:checkpoint  the cut written

if redis.call('GET', ARGV[1] .. ':epoch') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'cut', ARGV[3])
return 1
