-- commit(tag; user, tombstone, expected, now, id, burden, hazard, row, teaching, slices, due,
--        click_end, unsubscribe_end, confirm_by, gain_event, retention, record, answer,
--        sent, catalog, order, users_s, idempotency_s, charges, channel, value)
--   -> 1 when written; the record (a string) on a replay; on a conflict the user's fields, and last
--      whether a newer catalog than that of the decision is in force
--
-- expected is '' for a contention record, burden '' for an abstention, any other '' means "none".
-- sent: the send as the history will hold it. Whatever changes a history raises the version, so the
-- comparison of versions is also the check of gap, caps and cooldown: see engine/eligibility.py.
-- charges: MessagePack [[budget, units needed, units spent], ...], or ''.
--
-- {sNN}:i:NAME      read; written with the answer
-- {sNN}:u:USER      compared; written
-- {sNN}:tombstones  read
-- {sNN}:catalog     compared
-- {sNN}:ud:USER     the decision added, those beyond the retention dropped
-- {sNN}:d:DECISION  written; those beyond the retention deleted, but for those that a sweep has
--                   still to close: the log would show them open for good
-- {sNN}:due         the first deadline added
-- {sNN}:log         the row appended
-- {sNN}:b:BUDGET    compared; what the action costs is spent

local user, tombstone, expected, now, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local burden, due, retention = ARGV[6], ARGV[11], ARGV[16]
local click_end, unsubscribe_end, confirm_by = ARGV[12], ARGV[13], ARGV[14]
local gain_event, record, channel = ARGV[15], ARGV[17], ARGV[25]
local contention, send = expected == '', burden ~= ''

if record ~= '' then
  local earlier = redis.call('GET', idempotency_key(record))
  if earlier then return earlier end
end

local u = {}
if not contention then
  u = read_user(user, tombstone)
  local outdated = tonumber(redis.call('GET', CATALOG) or 0) > tonumber(ARGV[20])
  if outdated or (u[1] or '0') ~= expected or (send and not allows(u[6], channel)) then
    u[#u + 1] = outdated
    return u
  end
end

local spent = {}
for _, charge in ipairs(ARGV[24] ~= '' and cmsgpack.unpack(ARGV[24]) or {}) do
  local budget, needed, units = charge[1], charge[2], charge[3]
  local a = read_allowance(budget)
  if needed > 0 and (left(a) < needed or tonumber(now) < a[5]) then
    u[#u + 1] = false
    return u
  end
  if units > 0 then spent[#spent + 1] = { budget, units, a } end
end
for _, one in ipairs(spent) do
  local a = one[3]
  a[2], a[6] = a[2] + one[2], math.max(a[6], tonumber(now))
  write_allowance(one[1], a)
  one[3] = nil
end

local status = 'open'
if contention then
  status = 'censored'
elseif click_end == '' and unsubscribe_end == '' then
  status = 'resolved'
end

local entry = redis.call('XADD', LOG, '*', 'kind', 'decision', 'u', user, 'd', id,
  'status', status, 'row', ARGV[8], 'teaching', ARGV[9], 'order', ARGV[21], 'slices', ARGV[10])

local fields = { 'u', user, 'a', now, 'e', entry, 'h', ARGV[7] }
local function with(...)
  for _, value in ipairs({ ... }) do fields[#fields + 1] = value end
end
if status ~= 'open' then with('s', status) end
if gain_event ~= 'click' then with('g', gain_event) end
if send then with('b', '1', 'p', u[4] or '', 'm', (u[1] or 0) + 1) end
if send and channel ~= DEFAULT_CHANNEL then with('cn', channel) end
if #spent > 0 then with('c', cmsgpack.pack(spent)) end
if confirm_by ~= '' then with('o', confirm_by, 'w', '1') end
if click_end ~= '' then with('ce', click_end) end
if unsubscribe_end ~= '' then with('ue', unsubscribe_end) end
if record ~= '' then
  with('k', record)
  redis.call('SET', idempotency_key(record), ARGV[18], 'EX', ARGV[23])
end
local key = decision_key(id)
redis.call('HSET', key, unpack(fields))
redis.call('EXPIRE', key, retention + (due ~= '' and AWAY_S or 0))
if due ~= '' then redis.call('ZADD', DUE, due, id) end

local mine = user_decisions_key(user)
local old = redis.call('ZRANGE', mine, '-inf', num(tonumber(now) - tonumber(retention)), 'BYSCORE')
for _, gone in ipairs(old) do
  if not redis.call('ZSCORE', DUE, gone) then
    forget(gone)
    redis.call('ZREM', mine, gone)
  end
end
redis.call('ZADD', mine, now, id)
redis.call('EXPIRE', mine, retention + AWAY_S)

-- engine.mean_value
local function mean_value(value)
  if not u[7] then return value end
  local before = tonumber(u[12] or 1)
  return before + (value - before) / 10
end

if not contention then
  local state = { 'd', (u[7] or 0) + 1, 'f', u[5] or now }
  if send then
    state = { 'd', (u[7] or 0) + 1, 'f', u[5] or now, 'v', (u[1] or 0) + 1,
      'b', burden, 't', now, 'l', now, 's', (u[8] or 0) + 1,
      'r', with_send(u[10], cmsgpack.unpack(ARGV[19]), tonumber(now)) }
  end
  local mean = mean_value(tonumber(ARGV[26]))
  if mean ~= 1 or u[12] then
    state[#state + 1], state[#state + 2] = 'w', num(mean)
  end
  redis.call('HSET', user_key(user), unpack(state))
  redis.call('EXPIRE', user_key(user), ARGV[22])
end
return 1
