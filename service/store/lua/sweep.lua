-- sweep(tag; now, limit, half_life) -> the shard's earliest deadline left, or nil
--
-- {sNN}:due         deadlines due by now
-- and what decision.lua touches

local now, limit, half_life = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local function teach_due(d)
  teach_slices(d, now)
  reschedule(d)
end

local ids = redis.call('ZRANGE', DUE, '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
  local d = load(id)
  if not d then
    redis.call('ZREM', DUE, id)
  elseif lapsed(d, now) then
    lapse(d, now, half_life)
  else
    teach_due(d)
  end
end
return redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2]
