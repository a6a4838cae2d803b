-- What any store of tokens must do: look, write, and append an event.
-- KEYS  token  events
-- ARGV  expected  replacement  event  events_max_len
-- Returns { "swapped", id of the event } | { "current", value or "" }.
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then
  return { 'current', current }
end
redis.call('SET', KEYS[1], ARGV[2])
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'e', ARGV[3])
return { 'swapped', id }
