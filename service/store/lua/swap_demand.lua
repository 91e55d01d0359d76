-- swap_demand(version; demand, expected, blob) -> 1, or 0 when the version is another
--
-- {budget}:version  compared, raised
-- {budget}:demand   written

if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[2] then return 0 end
redis.call('SET', ARGV[1], ARGV[3])
redis.call('INCR', KEYS[1])
return 1
