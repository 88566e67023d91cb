//! What the server does in one step: scripts in Lua, which Redis 6 and Valkey run.
//!
//! `ARGV[1]` is the namespace and `ARGV[2]` how many milliseconds a tombstone stays. A session is a hash of `h`
//! (its own key, T7 of the fleet), `r` revision, `v` value, `b` birth, `d` deadline or 0, `i` idle time or 0,
//! `p` principal or nothing, `t` when it was bound to that, `f` format; times in milliseconds by the server's
//! clock. A tombstone has `n`, how often it was deleted, and `s`, what was created in its place.

use ::redis_1::Script;

/// All of them.
pub(super) struct Scripts {
    pub(super) load: Script,
    pub(super) create: Script,
    pub(super) save: Script,
    pub(super) delete: Script,
    pub(super) touch: Script,
    pub(super) list: Script,
    pub(super) revoke: Script,
    pub(super) canary: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |body: &str| Script::new(&format!("{SHARED}{body}"));
        Self {
            load: script(LOAD),
            create: script(CREATE),
            save: script(SAVE),
            delete: script(DELETE),
            touch: script(TOUCH),
            list: script(LIST),
            revoke: script(REVOKE),
            canary: script(CANARY),
        }
    }
}

/// What [`CREATE`] and [`SAVE`] begin their answer with.
pub(super) mod code {
    pub(in super::super) const DONE: i64 = 0;
    pub(in super::super) const TAKEN: i64 = 1;
    pub(in super::super) const LIMIT: i64 = 2;
    pub(in super::super) const REVOKED: i64 = 3;
    pub(in super::super) const LATE: i64 = 4;
    pub(in super::super) const GONE: i64 = 5;
    pub(in super::super) const CONFLICT: i64 = 6;
    pub(in super::super) const OVERTAKEN: i64 = 7;
}

const SHARED: &str = r"
local ns, tomb = ARGV[1], tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local sessions = ns .. ':s:'
local function int(n) return string.format('%.0f', n) end
local function member_of(key) return string.sub(key, #sessions + 1) end
local function index_of(principal) return ns .. ':p:' .. principal end

-- How long a session may live that is used now.
local function span_of(deadline, idle)
  local span = 316224000000
  if idle > 0 and idle < span then span = idle end
  if deadline > 0 and deadline - now < span then span = deadline - now end
  return span
end

-- Takes what has ended out of a list, which then lives as long as the last in it (R5).
local function settle(index)
  redis.call('ZREMRANGEBYSCORE', index, '-inf', int(now))
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', index, int(tonumber(last[2]))) end
end

local function delist(principal, member)
  local index = index_of(principal)
  redis.call('ZREM', index, member)
  settle(index)
end

-- Lets a session live for a span from now on.
local function extend(key, principal, span)
  redis.call('PEXPIRE', key, int(span))
  if principal and principal ~= '' then
    redis.call('ZADD', index_of(principal), int(now + span), member_of(key))
    settle(index_of(principal))
  end
end

-- Leaves a tombstone in place of a session, or of none (R3). Nothing takes its place.
local function bury(key)
  local principal = redis.call('HGET', key, 'p')
  redis.call('DEL', key)
  redis.call('HSET', key, 'n', '2')
  redis.call('PEXPIRE', key, int(tomb))
  if principal and principal ~= '' then delist(principal, member_of(key)) end
end

-- What is told of a session that has a span left.
local function told(v, span)
  local deadline = tonumber(v[5])
  local live = -1
  if deadline > 0 then live = deadline - now end
  return {v[1], v[2], v[3], now - tonumber(v[4]), span, live, tonumber(v[6]), v[7]}
end

local function read(key) return redis.call('HMGET', key, 'h', 'r', 'v', 'b', 'd', 'i', 'p', 'f') end

-- Whether a principal may have one more session; ends the oldest ones for it.
local function has_room(principal, limit, refuses, ended)
  if limit == 0 then return true end
  local index, alive = index_of(principal), {}
  settle(index)
  for _, member in ipairs(redis.call('ZRANGE', index, 0, -1)) do
    local bound = redis.call('HGET', sessions .. member, 't')
    if bound then alive[#alive + 1] = {tonumber(bound), member} else redis.call('ZREM', index, member) end
  end
  if #alive < limit then return true end
  if refuses then return false end
  table.sort(alive, function(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end)
  for n = 1, #alive - limit + 1 do
    bury(sessions .. alive[n][2])
    ended[#ended + 1] = alive[n][2]
  end
  return true
end

-- Whether a principal was revoked since a call was made (R4).
local function was_revoked(principal, issued)
  local stamp = redis.call('GET', ns .. ':x:' .. principal)
  return stamp and issued <= tonumber(stamp)
end
";

/// `ARGV[3]`: whether it is a use.
const LOAD: &str = r"
local v = read(KEYS[1])
if not v[2] or v[8] ~= '1' then return false end
local idle, span = tonumber(v[6]), redis.call('PTTL', KEYS[1])
local most = span_of(tonumber(v[5]), idle)
local is_due = ARGV[3] == '1' and idle > 0 and most > span and span <= idle - idle / 8
if is_due or span < 0 then
  extend(KEYS[1], v[7], most)
  span = most
end
return told(v, span)
";

/// 3 issued, 4 not after, 5 nothing, 6 revision, 7 value, 8 live, 9 idle, 10 principal, 11 limit, 12 whether that
/// refuses, 13 age or nothing, 14 in whose place or nothing.
const CREATE: &str = r"
local ended, principal, idle, deadline = {}, ARGV[10], tonumber(ARGV[9]), 0
if now > tonumber(ARGV[4]) then return {4, false, ended, now} end
if redis.call('EXISTS', KEYS[1]) == 1 then
  local v = read(KEYS[1])
  if v[2] ~= ARGV[6] then return {1, false, ended, now} end
  return {0, told(v, redis.call('PTTL', KEYS[1])), ended, now}
end
local old = sessions .. ARGV[14]
if ARGV[14] ~= '' then
  local v = redis.call('HMGET', old, 'n', 's', 'r')
  if v[3] or v[2] or (v[1] and v[1] ~= '1') then return {7, false, ended, now} end
end
if principal ~= '' then
  if was_revoked(principal, tonumber(ARGV[3])) then return {3, false, ended, now} end
  -- The first write, which a full server refuses before anything is ended (R8).
  redis.call('HSET', KEYS[1], 'h', '')
  if not has_room(principal, tonumber(ARGV[11]), ARGV[12] == '1', ended) then
    redis.call('DEL', KEYS[1])
    return {2, false, ended, now}
  end
end
if ARGV[8] ~= '0' then deadline = now + tonumber(ARGV[8]) end
if ARGV[14] ~= '' then
  redis.call('HSET', old, 'n', '1', 's', member_of(KEYS[1]))
  redis.call('PEXPIRE', old, int(tomb))
end
local birth = now - (tonumber(ARGV[13]) or 0)
redis.call('HSET', KEYS[1], 'h', member_of(KEYS[1]), 'r', ARGV[6], 'v', ARGV[7], 'b', int(birth), 'd', int(deadline),
  'i', ARGV[9], 'p', principal, 't', int(now), 'f', '1')
local span = span_of(deadline, idle)
extend(KEYS[1], principal, span)
local v = read(KEYS[1])
v[3] = ''
return {0, told(v, span), ended, now}
";

/// As [`CREATE`] takes it, but 5 the expected revision, 8 nothing to keep 8 and 9, and 10 `=` to keep it.
const SAVE: &str = r"
local ended, v = {}, read(KEYS[1])
if not v[2] or v[8] ~= '1' then return {5, false, ended, now} end
if v[2] == ARGV[6] then
  v[3] = ''
  return {0, told(v, redis.call('PTTL', KEYS[1])), ended, now}
end
if v[2] ~= ARGV[5] then return {6, told(v, redis.call('PTTL', KEYS[1])), ended, now} end
local principal = ARGV[10]
if principal == '=' then principal = v[7] end
if principal ~= v[7] then
  if principal ~= '' then
    if now > tonumber(ARGV[4]) then return {4, false, ended, now} end
    if was_revoked(principal, tonumber(ARGV[3])) then return {3, false, ended, now} end
    -- As in a creation.
    redis.call('HSET', KEYS[1], 'h', v[1])
    if not has_room(principal, tonumber(ARGV[11]), ARGV[12] == '1', ended) then
      return {2, false, ended, now}
    end
  end
  if v[7] ~= '' then delist(v[7], member_of(KEYS[1])) end
  redis.call('HSET', KEYS[1], 'p', principal, 't', int(now))
end
if ARGV[8] ~= '' then
  v[5], v[6] = '0', ARGV[9]
  if ARGV[8] ~= '0' then v[5] = int(now + tonumber(ARGV[8])) end
  redis.call('HSET', KEYS[1], 'd', v[5], 'i', v[6])
end
if ARGV[13] ~= '' then
  v[4] = int(now - tonumber(ARGV[13]))
  redis.call('HSET', KEYS[1], 'b', v[4])
end
redis.call('HSET', KEYS[1], 'r', ARGV[6], 'v', ARGV[7])
local span = span_of(tonumber(v[5]), tonumber(v[6]))
extend(KEYS[1], principal, span)
v[2], v[3], v[7] = ARGV[6], '', principal
return {0, told(v, span), ended, now}
";

/// Ends what was created in its place as well: that is ended by another request then (R6).
const DELETE: &str = r"
local was_live = redis.call('HEXISTS', KEYS[1], 'r')
local key, times = KEYS[1], 1 + (tonumber(redis.call('HGET', KEYS[1], 'n')) or 0)
while key do
  local next = redis.call('HGET', key, 's')
  bury(key)
  key = next and sessions .. next
end
redis.call('HSET', KEYS[1], 'n', int(times))
return was_live
";

const TOUCH: &str = r"
local v = read(KEYS[1])
if not v[2] or v[8] ~= '1' then return false end
local span = span_of(tonumber(v[5]), tonumber(v[6]))
extend(KEYS[1], v[7], span)
local live = -1
if tonumber(v[5]) > 0 then live = tonumber(v[5]) - now end
return {span, live}
";

const LIST: &str = r"
local list = {}
settle(KEYS[1])
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local v = read(sessions .. member)
  if not v[2] then
    redis.call('ZREM', KEYS[1], member)
  elseif v[8] == '1' and v[1] == member then
    list[#list + 1] = told(v, redis.call('PTTL', sessions .. member))
  end
end
return list
";

/// 3 the principal's key, 4 the session to keep or nothing, 5 not after.
const REVOKE: &str = r"
local ended = {}
if now > tonumber(ARGV[5]) then return {false, now} end
for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  if member ~= ARGV[4] then
    if redis.call('HEXISTS', sessions .. member, 'r') == 1 then ended[#ended + 1] = member end
    bury(sessions .. member)
    redis.call('ZREM', KEYS[1], member)
  end
end
settle(KEYS[1])
redis.call('SET', ns .. ':x:' .. ARGV[3], int(now), 'PX', int(tomb))
return {ended, now}
";

/// A write of a key, of which nothing stays; a full server takes it too (R8).
const CANARY: &str = r"
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', 1000)
redis.call('DEL', KEYS[1])
return now
";
