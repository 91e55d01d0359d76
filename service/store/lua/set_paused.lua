-- set_paused(version; paused, on) -> the catalog's version
--
-- {catalog}:paused   written where `on` is '1', else deleted
-- {catalog}:version  raised

if ARGV[2] == '1' then
  redis.call('SET', ARGV[1], '1')
else
  redis.call('DEL', ARGV[1])
end
return redis.call('INCR', KEYS[1])
