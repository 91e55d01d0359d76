-- event(tag; user, tombstone, event_id, kind, now, at, decision, value, half_life, retention,
--       users_s, channel, tolerance)
--   -> 'accepted', 'duplicate', 'late' or 'unknown'
--
-- decision, value, channel and tolerance are '' where the event has none.
--
-- {sNN}:ue:USER     types and ids seen before; this one added
-- {sNN}:d:DECISION  the decision named; any open one of the user on an unsubscribe
-- {sNN}:u:USER      written
-- {sNN}:tombstones  read; the user's written when his consent changes
-- {sNN}:log         the event appended
-- and what decision.lua touches

local user, tombstone, event_id, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local now, decision_id = tonumber(ARGV[5]), ARGV[7]
local half_life, retention = tonumber(ARGV[9]), tonumber(ARGV[10])
local channel, tolerance = ARGV[12], ARGV[13]
-- With the type: an opt-out must not be lost because another event had its id.
local known_as = kind .. ' ' .. event_id

-- Without a decision these say nothing.
local NAMES_DECISION = { click = true, sent = true, not_sent = true }
local CONFIRMS = { sent = true, click = true, dismiss = true, unsubscribe = true }

local function find_decision()
  local d = load(decision_id)
  if d and d.user == user and d.at > now - retention then return d end
end

local function is_duplicate()
  local key = user_events_key(user)
  redis.call('ZREMRANGEBYSCORE', key, '-inf', num(now - retention))
  return redis.call('ZSCORE', key, known_as)
end

local function window_end(d)
  if kind == d.gain_event then return d.click.ends or math.huge end
  if kind == 'unsubscribe' then return d.unsubscribe.ends or math.huge end
  if kind == 'sent' and d.confirm_by then return d.confirm_by end
  if not d.click.ends then return d.unsubscribe.ends or math.huge end
  return math.max(d.click.ends, d.unsubscribe.ends or 0)
end

local function confirm(d)
  d.waits = nil
  redis.call('HDEL', d.key, 'w')
  reschedule(d)
end

local function gain(d)
  if not is_open(d, 'click', now) then return end
  d.came = now
  redis.call('HSET', d.key, 'ch', num(now))
  settle(d, 'click', '1')
  if not d.waits and not waits_for_slice(d) then
    teach_slices(d, now)
    teach_click(d)
  end
  reschedule(d)
end

local function count_click(d)
  if d.clicked then return end
  redis.call('HSET', d.key, 'q', '1')
  redis.call('HINCRBY', user_key(user), 'c', 1)
end

local function tolerate()
  local u = read_user(user, tombstone)
  redis.call('HSET', user_key(user), 'v', (u[1] or 0) + 1, 'f', u[5] or num(now))
  if tolerance == '' then
    redis.call('HDEL', user_key(user), 'y')
  else
    redis.call('HSET', user_key(user), 'y', tolerance)
  end
end

local function external_send()
  local u = read_user(user, tombstone)
  local since = tonumber(u[3] or 0)
  local at = math.max(now, since)
  redis.call('HSET', user_key(user), 'v', (u[1] or 0) + 1, 'f', u[5] or num(now),
    'b', num(decayed(tonumber(u[2] or 0), since, at, half_life) + 1), 't', num(at),
    'l', num(math.max(now, tonumber(u[4] or now))),
    'r', with_send(u[10], { now, '', {}, (u[1] or 0) + 1 }, now))
end

local function weigh_named(d)
  return function(sends)
    local weights = {}
    for i, send in ipairs(sends) do
      if send == d then weights[i] = 1 end
    end
    return weights
  end
end

local function weigh_recent(sends) return credit(sends, now) end

local function censor_all() return {} end

local function remember()
  redis.call('ZADD', user_events_key(user), num(now), known_as)
  redis.call('EXPIRE', user_events_key(user), retention)
end

local function log_event(about, status)
  redis.call('XADD', LOG, '*', 'kind', 'event', 'u', user, 'd', about, 'id', event_id,
    'type', kind, 'now', ARGV[5], 'at', ARGV[6], 'value', ARGV[8], 'status', status,
    'channel', channel, 'tolerance', tolerance)
end

-- An opt-out counts, and counts once, even if the decision it names is long gone. The log does not
-- name that decision: it may be another user's.
local function leave_without_decision()
  unsubscribe(user, tombstone, now, channel, nil, censor_all)
  remember()
  log_event('', 'unknown')
end

if is_duplicate() then return 'duplicate' end

local d
if decision_id ~= '' or NAMES_DECISION[kind] then
  d = find_decision()
  if not d then
    if kind == 'unsubscribe' then leave_without_decision() end
    redis.call('EXPIRE', user_key(user), ARGV[11])
    return 'unknown'
  end
end

remember()
local status = 'accepted'
if d then
  if now >= window_end(d) then status = 'late' end
  if lapsed(d, now) then lapse(d, now, half_life) end
  if d.waits and CONFIRMS[kind] then confirm(d) end
  note(d, kind, now)
  if kind == 'click' then count_click(d) end
  if kind == d.gain_event then gain(d) end
  if kind == 'not_sent' then
    if status == 'accepted' then censor(d) end
    take_back(d, now, half_life)
  end
end
local about_consent = kind == 'unsubscribe' or kind == 'subscribe'
if about_consent and channel == '' and d then channel = d.channel end
if kind == 'unsubscribe' then
  unsubscribe(user, tombstone, now, channel, d, d and weigh_named(d) or weigh_recent)
elseif kind == 'subscribe' then
  change_consent(user, tombstone, now, channel, true)
elseif kind == 'tolerance' then
  tolerate()
elseif kind == 'external_send' then
  external_send()
end

redis.call('EXPIRE', user_key(user), ARGV[11])
log_event(decision_id, status)
return status
