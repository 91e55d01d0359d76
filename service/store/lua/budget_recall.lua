-- budget_recall(tag; budget) -> the allowance as stored, after what was left in it was given back;
-- nil if there is none
--
-- {sNN}:b:BUDGET  written

if redis.call('EXISTS', allowance_key(ARGV[1])) == 0 then return nil end
local a = read_allowance(ARGV[1])
if left(a) > 0 then
  a[3] = a[3] + left(a)
  write_allowance(ARGV[1], a)
end
return redis.call('GET', allowance_key(ARGV[1]))
