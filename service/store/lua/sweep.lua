-- sweep(tag; now, limit, half_life) -> the shard's earliest deadline left, or nil
--
-- {sNN}:due         deadlines due by now
-- and what decision.lua touches

local now, limit, half_life = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])

local function teach_slice(d, slice)
  local head = d[slice.head]
  if not unsettled(d, slice.head) then return end
  lesson(d, slice.head, '0', slice.mass, slice.due - d.at)
  head.taught = head.taught + slice.mass
  redis.call('HSET', d.key, FIELD[slice.head].taught, num(head.taught))
  if slice.due >= head.ends then settle(d, slice.head, '0') end
end

local function teach_due(d)
  local slices = constant(d).slices
  while slices[d.done + 1] and slices[d.done + 1].due <= now do
    d.done = d.done + 1
    teach_slice(d, slices[d.done])
  end
  redis.call('HSET', d.key, 'i', d.done)
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
