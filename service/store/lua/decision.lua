-- decision.lua: how a stored decision changes. Put after shard.lua, before scripts of feedback.
--
-- {sNN}:d:DECISION  read; labels, masses, status, expiry written
-- {sNN}:log         the decision's own entry read; "labels" entries appended
-- {sNN}:lessons     lessons appended
-- {sNN}:due         the decision's deadline moved or removed
-- {sNN}:u:USER      burden, sends, history, last send and version when a send is taken back; consent
-- {sNN}:ud:USER     read
-- {sNN}:b:BUDGET    units of a send that is taken back are refunded
-- {sNN}:i:NAME      the answer of a send that is taken back is deleted
-- {sNN}:tombstones  read; the user's written when his consent changes

local HEADS = { 'click', 'unsubscribe' }
local FIELD = {
  click = { label = 'cl', taught = 'ct' },
  unsubscribe = { label = 'ul', taught = 'ut' },
}
local CREDIT_WINDOW_S = 7 * 86400
local NONE = 'none'
local REST = 0.1
local LEAST_WEIGHT = 1e-9 -- what rounding leaves of a whole that was taught in parts

local function load(id)
  local v = redis.call('HMGET', decision_key(id), 'u', 'a', 'e', 's', 'g', 'h', 'b', 'p', 'o',
    'w', 'i', 'f', 'q', 'n', 'cl', 'ce', 'ct', 'ul', 'ue', 'ut', 'm', 'ch', 'cn')
  if not v[1] then return nil end
  return {
    id = id, key = decision_key(id), user = v[1], at = tonumber(v[2]), entry = v[3],
    status = v[4] or 'open', gain_event = v[5] or 'click', hazard = tonumber(v[6]), burdens = v[7],
    last_before = v[8], confirm_by = tonumber(v[9]), waits = v[10], done = tonumber(v[11] or 0),
    first = not v[12], clicked = v[13], events = tonumber(v[14] or 0),
    mark = tonumber(v[21]), came = tonumber(v[22]),
    channel = v[7] and (v[23] or DEFAULT_CHANNEL) or '',
    click = { label = v[15], ends = tonumber(v[16]), taught = tonumber(v[17] or 0) },
    unsubscribe = { label = v[18], ends = tonumber(v[19]), taught = tonumber(v[20] or 0) },
  }
end

-- The part that never changes stands in the log once: teaching, and slices of 17 bytes each.
local function constant(d)
  if d.teaching then return d end
  d.teaching, d.order, d.slices = '', '', {}
  local found = redis.call('XRANGE', LOG, d.entry, d.entry)[1]
  if not found then return d end
  local entry = {}
  for i = 1, #found[2], 2 do entry[found[2][i]] = found[2][i + 1] end
  d.teaching, d.order = entry.teaching, entry.order
  for i = 1, #entry.slices, 17 do
    local head, due, mass = struct.unpack('>Bdd', entry.slices, i)
    d.slices[#d.slices + 1] = { head = HEADS[head + 1], due = due, mass = mass }
  end
  return d
end

local function lesson(d, head, label, weight, delay)
  if weight < LEAST_WEIGHT or constant(d).teaching == '' then return end
  redis.call('XADD', LESSONS, '*', 'o', d.order, 'h', head, 'y', label, 'w', num(weight),
    't', num(d[head].taught), 'l', num(delay), 'f', d.first and '1' or '0', 'x', d.teaching)
  if d.first then
    d.first = false
    redis.call('HSET', d.key, 'f', '1')
  end
end

-- Close a label: `value` is a number as text, or NONE.
local function settle(d, head, value)
  d[head].label = value
  redis.call('HSET', d.key, FIELD[head].label, value)
end

local function log_labels(d)
  redis.call('XADD', LOG, '*', 'kind', 'labels', 'u', d.user, 'd', d.id, 'status', d.status,
    'click', d.click.label or NONE, 'unsubscribe', d.unsubscribe.label or NONE)
end

local function become(d, status)
  d.status = status
  redis.call('HSET', d.key, 's', status)
  log_labels(d)
end

-- Whatever the time is: a label is open until it is settled.
local function unsettled(d, head) return d[head].ends and not d[head].label end

-- Still has something to teach: silence so far, or a click that waits for the next slice.
local function has_lessons(d, head)
  return unsettled(d, head) or (head == 'click' and d.came ~= nil)
end

local function teach_click(d)
  lesson(d, 'click', '1', 1, d.came - d.at)
  d.came = nil
  redis.call('HDEL', d.key, 'ch')
end

-- engine.outcome.lessons, one slice of it.
local function teach_slice(d, slice)
  local head = d[slice.head]
  if not has_lessons(d, slice.head) then return end
  if slice.head == 'click' and d.came and d.came < slice.due then return teach_click(d) end
  lesson(d, slice.head, '0', slice.mass, slice.due - d.at)
  head.taught = head.taught + slice.mass
  redis.call('HSET', d.key, FIELD[slice.head].taught, num(head.taught))
  if slice.due >= head.ends then settle(d, slice.head, '0') end
end

-- What the slices due by now have to say; the caller reschedules.
local function teach_slices(d, now)
  local slices = constant(d).slices
  while slices[d.done + 1] and slices[d.done + 1].due <= now do
    d.done = d.done + 1
    teach_slice(d, slices[d.done])
  end
  redis.call('HSET', d.key, 'i', d.done)
end

-- engine.outcome.waits
local function waits_for_slice(d)
  local rest = 0
  for _, slice in ipairs(constant(d).slices) do
    if slice.head == 'click' and slice.due > d.came then rest = rest + slice.mass end
  end
  return rest > REST
end

local function next_deadline(d)
  if d.waits then return d.confirm_by end
  local slices = constant(d).slices
  for i = d.done + 1, #slices do
    if has_lessons(d, slices[i].head) then return slices[i].due end
  end
end

-- Nothing is due any more: from now on it expires with the retention.
local function retire(d)
  if redis.call('ZREM', DUE, d.id) == 0 then return end
  redis.call('EXPIRE', d.key, math.max(redis.call('TTL', d.key) - AWAY_S, 60))
end

-- After any change: settle the status, and put the decision where its next deadline is.
local function reschedule(d)
  if d.status == 'open' and not unsettled(d, 'click') and not unsettled(d, 'unsubscribe') then
    become(d, 'resolved')
  end
  local due = d.status ~= 'censored' and next_deadline(d)
  if due then
    redis.call('ZADD', DUE, num(due), d.id)
  else
    retire(d)
  end
end

local function censor(d)
  if d.status == 'censored' then return end
  d.waits, d.came = nil, nil
  redis.call('HDEL', d.key, 'w', 'ch')
  settle(d, 'click', NONE)
  settle(d, 'unsubscribe', NONE)
  become(d, 'censored')
  retire(d)
end

local function decayed(burden, since, now, half_life)
  return burden * 2 ^ (-math.max(0, now - since) / half_life)
end

-- The next send remembers this one as the last before it; it must not bring it back. Where another
-- send of the same moment remains, later ones mean that one.
local function unlink(d, another)
  local latest = another and num(d.at) or '+inf'
  local later = redis.call('ZRANGE', user_decisions_key(d.user), num(d.at), latest, 'BYSCORE')
  for _, id in ipairs(later) do
    if id ~= d.id and tonumber(redis.call('HGET', decision_key(id), 'p')) == d.at then
      redis.call('HSET', decision_key(id), 'p', d.last_before)
    end
  end
end

-- engine.history.taken_out: `history` as stored (false: none), and whether it still has a send of
-- this one's moment: one batch decides for a user any number of times at once.
local function taken_out(history, d)
  local kept, another = {}, false
  for _, send in ipairs(history and cmsgpack.unpack(history) or {}) do
    if send[4] ~= d.mark then
      kept[#kept + 1] = send
      another = another or send[1] == d.at
    end
  end
  return cmsgpack.pack(kept), another
end

-- engine.allowance.Allowance.refund for everything the send took from budgets.
local function refund(d)
  local spent = redis.call('HGET', d.key, 'c')
  for _, one in ipairs(spent and cmsgpack.unpack(spent) or {}) do
    local a = read_allowance(one[1])
    a[4] = a[4] + one[2]
    a[7] = a[7] ~= 0 and math.min(a[7], d.at) or d.at
    write_allowance(one[1], a)
  end
end

-- The send did not happen: engine.burden.without_send, at most once.
local function take_back(d, now, half_life)
  if d.burdens ~= '1' then return end
  d.burdens = '0'
  redis.call('HSET', d.key, 'b', '0')
  forget_answer(d.id)
  refund(d)
  local key = user_key(d.user)
  local u = redis.call('HMGET', key, 'v', 'b', 't', 'l', 's', 'r')
  if not u[1] then return end
  local since = tonumber(u[3])
  local at = math.max(now, since)
  local rest = decayed(tonumber(u[2]), since, at, half_life) - decayed(1, d.at, at, half_life)
  local history, another = taken_out(u[6], d)
  redis.call('HSET', key, 'v', u[1] + 1, 'b', num(math.max(0, rest)), 't', num(at), 's', u[5] - 1,
    'r', history)
  unlink(d, another)
  if tonumber(u[4]) ~= d.at or another then return end
  if d.last_before == '' then
    redis.call('HDEL', key, 'l')
  else
    redis.call('HSET', key, 'l', d.last_before)
  end
end

local function lapsed(d, now) return d.waits and now >= d.confirm_by end

local function lapse(d, now, half_life)
  censor(d)
  take_back(d, now, half_life)
end

local function is_open(d, head, now)
  return unsettled(d, head) and now < d[head].ends and not lapsed(d, now)
end

-- The user's decisions whose unsubscribe label can still change; `named` in place of its copy.
local function open_sends(user, now, named)
  local sends = {}
  for _, id in ipairs(redis.call('ZRANGE', user_decisions_key(user), 0, -1)) do
    local d = named and named.id == id and named or load(id)
    if d and is_open(d, 'unsubscribe', now) then sends[#sends + 1] = d end
  end
  return sends
end

-- Recent, and known to have happened: a deferred send may never be confirmed.
local function takes_blame(d, now) return d.at >= now - CREDIT_WINDOW_S and not d.waits end

-- engine.attribution.credit over the sends that take blame; nil for the others.
local function credit(sends, now)
  local total, blamed = 0, 0
  for _, d in ipairs(sends) do
    if takes_blame(d, now) then total, blamed = total + d.hazard, blamed + 1 end
  end
  local weights = {}
  for i, d in ipairs(sends) do
    if takes_blame(d, now) then
      weights[i] = total > 0 and d.hazard / total or 1 / blamed
    end
  end
  return weights
end

local function note(d, kind, now)
  d.events = d.events + 1
  redis.call('HSET', d.key, 'n', d.events, 'n' .. d.events, kind .. ' ' .. num(now))
end

local function teach_unsubscribe(d, weight, now)
  local rest = 1 - weight - d.unsubscribe.taught
  lesson(d, 'unsubscribe', '1', weight, now - d.at)
  lesson(d, 'unsubscribe', '0', rest, now - d.at)
  settle(d, 'unsubscribe', num(weight))
end

-- engine.consent.changed, as stored; channel '' is all of them. False: whole.
local function changed(consent, channel, allow)
  if channel == '' then return not allow and '-' end
  local everywhere, exceptions = not consent or consent:sub(1, 1) == '+', {}
  for exception in (consent or ''):sub(2):gmatch('%S+') do
    if exception ~= channel then exceptions[#exceptions + 1] = exception end
  end
  if allow ~= everywhere then exceptions[#exceptions + 1] = channel end
  if everywhere and #exceptions == 0 then return false end
  table.sort(exceptions)
  return (everywhere and '+' or '-') .. table.concat(exceptions, ' ')
end

-- The user leaves or joins a channel: what his consent was and what it is.
local function change_consent(user, tombstone, now, channel, allow)
  local u = read_user(user, tombstone)
  local after = changed(u[6], channel, allow)
  if after ~= u[6] then
    redis.call('HSET', user_key(user), 'v', (u[1] or 0) + 1, 'f', u[5] or num(now))
    if after then
      redis.call('HSET', user_key(user), 'x', after)
      redis.call('HSET', TOMBSTONES, tombstone, after)
    else
      redis.call('HDEL', user_key(user), 'x')
      redis.call('HDEL', TOMBSTONES, tombstone)
    end
  end
  return u[6], after
end

-- The user has left a channel. `weigh(sends)` gives the weights of those that share the blame, by
-- position; labels without a weight are censored. False when he had left it before. What was sent
-- on channels that he did not leave now stays as it is.
local function unsubscribe(user, tombstone, now, channel, named, weigh)
  local before, after = change_consent(user, tombstone, now, channel, false)
  if before == after then return false end
  local sends = {}
  for _, d in ipairs(open_sends(user, now, named)) do
    local left = allows(before, d.channel) and not allows(after, d.channel)
    if left or d == named then sends[#sends + 1] = d end
  end
  local weights = weigh(sends)
  for i, d in ipairs(sends) do
    if weights[i] then
      teach_unsubscribe(d, weights[i], now)
    else
      settle(d, 'unsubscribe', NONE)
    end
    if weights[i] and d ~= named then note(d, 'unsubscribe', now) end
    reschedule(d)
  end
  return true
end
