-- wrk script: POSTs one body, taking the bearer tokens of a file in turn.
-- Environment: BENCH_BODY (file), BENCH_TOKENS (file, one a line), BENCH_PATHS (comma separated).
local function read(path)
   local file = assert(io.open(path, "rb"))
   local text = file:read("*a")
   file:close()
   return text
end

local requests, turn, count = {}, 0, 0

function init(args)
   local body = read(os.getenv("BENCH_BODY"))
   local paths = {}
   for path in os.getenv("BENCH_PATHS"):gmatch("[^,]+") do paths[#paths + 1] = path end
   local tokens = {}
   for token in read(os.getenv("BENCH_TOKENS")):gmatch("[^\n]+") do tokens[#tokens + 1] = token end
   count = math.max(#tokens, #paths)
   for i = 1, count do
      requests[i] = wrk.format("POST", paths[(i - 1) % #paths + 1], {
         ["Authorization"] = "Bearer " .. tokens[(i - 1) % #tokens + 1],
         ["Content-Type"] = "application/json",
      }, body)
   end
end

function request()
   turn = turn % count + 1
   return requests[turn]
end

function done(summary, latency, _)
   local failed = summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.status + summary.errors.timeout
   io.write(string.format("RESULT %d %d %d %.1f %.1f %.1f\n", summary.requests, summary.duration,
      failed, latency:percentile(50), latency:percentile(99), latency.max))
end
