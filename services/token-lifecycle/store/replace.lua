-- Replaces a token's value by another form of the same token, if it still is what the caller saw. Nothing happened to the
-- token, so there is no event.
-- KEYS  token
-- ARGV  expected  replacement
-- Returns 1 when it was replaced, 0 when somebody was faster.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
