-- budget_settle(ledger; limit, period, now, shard, told, needed, ...)
--   -> {units that may be granted still, limit - spent within the period, {shards that did not get
--      what they needed}, {shard, known, ...}}
--
-- engine.allowance.Ledger: report, forget, grant. told is an allowance as stored, '' for none; the
-- reply names the shards that have something to learn.
--
-- {budget}:l:BUDGET  written

local BINS, SHARE, IDLE_S = 1440, 256, 95 * 86400
local limit, period, now = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local function num(x) return string.format('%.0f', x) end
local NONE = { 0, 0, 0, 0, 0, 0, 0 }

local shards, bins, changed = {}, {}, {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do
  local kind, number = string.sub(flat[i], 1, 1), tonumber(string.sub(flat[i], 2))
  local of = kind == 's' and shards or bins
  of[number] = cmsgpack.unpack(flat[i + 1])
end

local function left(s) return s[1] - s[2] - s[3] end

local function spend(units, last)
  local place = math.floor(last * BINS / period)
  local bin = bins[place] or { 0, 0 }
  bins[place] = { bin[1] + units, math.max(bin[2], last) }
  changed['b' .. num(place)] = bins[place]
end

local function refund(units, earliest)
  local order = {}
  for place, bin in pairs(bins) do
    if bin[2] >= earliest then order[#order + 1] = place end
  end
  table.sort(order, function(one, other) return bins[one][2] < bins[other][2] end)
  for _, place in ipairs(order) do
    if units <= 0 then return end
    local taken = math.min(units, bins[place][1])
    bins[place][1], units = bins[place][1] - taken, units - taken
    changed['b' .. num(place)] = bins[place]
  end
end

local function report(shard, told)
  local known = shards[shard] or { 0, 0, 0, 0 }
  if told[2] > known[2] then spend(told[2] - known[2], told[6]) end
  if told[4] > known[4] then refund(told[4] - known[4], told[7]) end
  for i = 1, 4 do known[i] = math.max(known[i], told[i]) end
  shards[shard] = known
  changed['s' .. num(shard)] = known
end

local function forget()
  for place, bin in pairs(bins) do
    if bin[2] <= now - 2 * period then
      bins[place] = nil
      changed['b' .. num(place)] = nil
      redis.call('HDEL', KEYS[1], 'b' .. num(place))
    end
  end
end

local function totals()
  local granted, spent = 0, 0
  for _, known in pairs(shards) do granted = granted + math.max(0, left(known)) end
  for _, bin in pairs(bins) do
    if bin[2] > now - period then spent = spent + bin[1] end
  end
  return granted, spent
end

for i = 4, #ARGV, 3 do
  report(tonumber(ARGV[i]), ARGV[i + 1] ~= '' and cmsgpack.unpack(ARGV[i + 1]) or NONE)
end
forget()

local granted, spent = totals()
local unmet, news = {}, {}
for i = 4, #ARGV, 3 do
  local shard, needed = tonumber(ARGV[i]), tonumber(ARGV[i + 2])
  local known = shards[shard]
  local held = left(known)
  local free = limit - granted - spent + math.max(0, held)
  if needed > held and free >= needed then
    local units = math.max(needed, math.floor(free / SHARE))
    known[1] = known[1] + units - held
    granted = granted + units - math.max(0, held)
  end
  if needed > left(known) then unmet[#unmet + 1] = shard end
  local told = ARGV[i + 1] ~= '' and cmsgpack.unpack(ARGV[i + 1]) or NONE
  if known[1] > told[1] or known[2] > told[2] or told[7] ~= 0 then
    news[#news + 1] = shard
    news[#news + 1] = cmsgpack.pack(known)
  end
end

for field, value in pairs(changed) do
  redis.call('HSET', KEYS[1], field, cmsgpack.pack(value))
end
redis.call('EXPIRE', KEYS[1], IDLE_S)
return { num(limit - granted - spent), num(limit - spent), unmet, news }
