-- Sends requests from files in turn: wrk ... -- FOLDER COUNT MARK FIRST
-- MARK is a number of the form 8.12345; where a request holds it, it is replaced by 8 and ever another fraction, so
-- that no two requests are equal. FIRST says where to begin. What came of it is printed as one line of JSON.

local heads, tails = {}, {}
local number, count, low
local STEPS = 89989 -- a prime below 90000: bodies and numbers meet anew only after COUNT * STEPS requests

function init(args)
  local folder, mark = args[1], args[3]
  count, number = tonumber(args[2]), tonumber(args[4])
  low = math.floor(tonumber(mark))
  for i = 0, count - 1 do
    local file = assert(io.open(folder .. "/" .. i, "rb"))
    local request = file:read("*a")
    file:close()
    local from, to = request:find(mark, 1, true)
    if from then
      heads[i], tails[i] = request:sub(1, from - 1), request:sub(to + 1)
    else
      heads[i] = request
    end
  end
end

function request()
  local i = number % count
  local tail = tails[i]
  number = number + 1
  if not tail then
    return heads[i]
  end
  return heads[i] .. string.format("%.5f", low + (number % STEPS) * 1e-5) .. tail
end

function done(summary, latency, requests)
  io.write(string.format(
    '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    summary.errors.connect, summary.errors.read, summary.errors.write, summary.errors.status,
    summary.errors.timeout
  ))
end
