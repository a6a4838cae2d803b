-- Records an activation once: the fingerprint decides whether a later one is a repeat.
-- KEYS  token  events
-- ARGV  fingerprint  state  event  events_max_len
-- Returns "new" | "repeat" | "conflict".
local known = redis.call('GET', KEYS[1])
if known then
  if string.sub(known, 1, #ARGV[1]) == ARGV[1] then
    return 'repeat'
  end
  return 'conflict'
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'e', ARGV[3])
return 'new'
