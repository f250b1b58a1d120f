-- wrk script: POSTs one body, taking the bearer tokens of a file in turn.
-- Environment: BENCH_BODY (file), BENCH_TOKENS (file, one a line), BENCH_PATHS (comma separated),
-- BENCH_CLOSING (not empty: a connection for each call).
local function read(path)
   local file = assert(io.open(path, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

local requests, turn = {}, 0

local function headers(token)
   local all = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
   if (os.getenv("BENCH_CLOSING") or "") ~= "" then all["Connection"] = "close" end
   return all
end

-- In every one of wrk's threads, before it looks whether there is a `request` of ours.
local body, paths, tokens = read(os.getenv("BENCH_BODY")), {}, {}
for path in os.getenv("BENCH_PATHS"):gmatch("[^,]+") do paths[#paths + 1] = path end
for token in read(os.getenv("BENCH_TOKENS")):gmatch("[^\n]+") do tokens[#tokens + 1] = token end
local count = math.max(#tokens, #paths)
wrk.method, wrk.path, wrk.body, wrk.headers = "POST", paths[1], body, headers(tokens[1])

-- One request for all calls is kept ready by wrk itself, which costs it less.
if count > 1 then
   function init(args)
      for i = 1, count do
         local token = tokens[(i - 1) % #tokens + 1]
         requests[i] = wrk.format("POST", paths[(i - 1) % #paths + 1], headers(token), body)
      end
   end

   function request()
      turn = turn % count + 1
      return requests[turn]
   end
end

function done(summary, latency, _)
   local failed = summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.status + summary.errors.timeout
   io.write(string.format("RESULT %d %d %d %.1f %.1f %.1f\n", summary.requests, summary.duration,
      failed, latency:percentile(50), latency:percentile(99), latency.max))
end
