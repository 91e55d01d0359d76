-- budget_receive(tag; budget, known, now): what the ledger granted, and what it knows of the rest;
-- engine.allowance.Allowance.received
--
-- {sNN}:b:BUDGET  written

local budget, known, now = ARGV[1], cmsgpack.unpack(ARGV[2]), tonumber(ARGV[3])
local a = read_allowance(budget)
if known[1] > a[1] then a[5] = math.max(a[5], now) end
if known[4] >= a[4] then a[7] = 0 end
for i = 1, 4 do a[i] = math.max(a[i], known[i]) end
write_allowance(budget, a)
