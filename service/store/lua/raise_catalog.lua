-- raise_catalog(tag; version): from now on decisions made with an older catalog are refused
--
-- {sNN}:catalog  raised

if tonumber(redis.call('GET', CATALOG) or 0) < tonumber(ARGV[1]) then
  redis.call('SET', CATALOG, ARGV[1])
end
