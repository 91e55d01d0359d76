-- shard.lua: the names of a shard's keys and the state of a user. Put before every shard script.
--
-- KEYS[1]  the shard's tag, "{sNN}"; every key below starts with it, so all share one slot
--
-- {sNN}:u:USER  {sNN}:ud:USER  {sNN}:ue:USER  {sNN}:d:DECISION  {sNN}:i:NAME
-- {sNN}:due  {sNN}:lessons  {sNN}:log  {sNN}:tombstones  {sNN}:catalog
-- {sNN}:b:BUDGET                                                     explained in keys.py

local TAG = KEYS[1]
local DUE, LESSONS, LOG = TAG .. ':due', TAG .. ':lessons', TAG .. ':log'
local TOMBSTONES, CATALOG = TAG .. ':tombstones', TAG .. ':catalog'

local DEFAULT_CHANNEL = 'push'

local function user_key(user) return TAG .. ':u:' .. user end
local function user_decisions_key(user) return TAG .. ':ud:' .. user end
local function user_events_key(user) return TAG .. ':ue:' .. user end
local function decision_key(id) return TAG .. ':d:' .. id end
local function idempotency_key(name) return TAG .. ':i:' .. name end

local function allowance_key(budget) return TAG .. ':b:' .. budget end

-- engine.allowance.Allowance: granted, spent, returned, refunded, since, last, earliest
local IDLE_S = 95 * 86400 -- three of the longest periods
local function read_allowance(budget)
  local held = redis.call('GET', allowance_key(budget))
  return held and cmsgpack.unpack(held) or { 0, 0, 0, 0, 0, 0, 0 }
end
local function write_allowance(budget, a)
  redis.call('SET', allowance_key(budget), cmsgpack.pack(a), 'EX', IDLE_S)
end
local function left(a) return a[1] - a[2] - a[3] end

-- Lua's own tostring keeps 14 digits; a time or a burden needs 17.
local function num(x) return string.format('%.17g', x) end

-- version, burden, burden_at, last_send_at, first_seen_at, consent, decisions, sends, clicks,
-- history, tolerance, mean value (false: 1, or no decision yet)
local function read_user(user, tombstone)
  local u = redis.call('HMGET', user_key(user),
    'v', 'b', 't', 'l', 'f', 'x', 'd', 's', 'c', 'r', 'y', 'w')
  if not u[6] then u[6] = redis.call('HGET', TOMBSTONES, tombstone) end
  return u
end

-- engine.consent.allows: `consent` as stored (false: whole).
local function allows(consent, channel)
  if not consent then return true end
  local everywhere = consent:sub(1, 1) == '+'
  for exception in consent:sub(2):gmatch('%S+') do
    if exception == channel then return not everywhere end
  end
  return everywhere
end

-- engine.history.with_send: `history` as stored (false: none) and one more send at `now`.
local HISTORY_S, MOST_SENDS = 32 * 86400, 1000
local function with_send(history, send, now)
  local kept = {}
  for _, earlier in ipairs(history and cmsgpack.unpack(history) or {}) do
    if earlier[1] > now - HISTORY_S then kept[#kept + 1] = earlier end
  end
  kept[#kept + 1] = send
  if #kept > MOST_SENDS then table.remove(kept, 1) end
  return cmsgpack.pack(kept)
end

-- Keys expire by the server's clock, decisions go by the service's: while something is due, both are
-- kept so much longer, for a service that was away.
local AWAY_S = 30 * 86400

-- How many answers went that a decision would still have repeated. Its key may then be used again,
-- so the name goes too: what another decision keeps under it is not this one's to delete.
local function forget_answer(id)
  local record = redis.call('HGET', decision_key(id), 'k')
  if not record then return 0 end
  redis.call('HDEL', decision_key(id), 'k')
  return redis.call('DEL', idempotency_key(record))
end

-- A decision, its deadline and its idempotency record; not its log entry.
local function forget(id)
  local records = forget_answer(id)
  redis.call('ZREM', DUE, id)
  return redis.call('DEL', decision_key(id)), records
end
