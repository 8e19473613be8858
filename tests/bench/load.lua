-- One assignment a request, for wrk: a path after the other, each with an Idempotency-Key of its own.
-- From the environment: BENCH_TOKEN, BENCH_PATHS (separated by blanks), BENCH_BODY; a GET when BENCH_BODY is empty.
local paths, sent = {}, 0
for path in string.gmatch(os.getenv("BENCH_PATHS"), "%S+") do
  table.insert(paths, path)
end
local body = os.getenv("BENCH_BODY")
local headers = { ["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN") }
local run = os.getenv("BENCH_RUN")

if body ~= "" then
  headers["Content-Type"] = "application/json"
end

function request()
  sent = sent + 1
  local path = paths[sent % #paths + 1]
  if body == "" then
    return wrk.format("GET", path, headers)
  end
  headers["Idempotency-Key"] = run .. "-" .. sent
  return wrk.format("POST", path, headers, body)
end

local refused = 0
function response(status)
  if status ~= 200 and status ~= 201 then
    refused = refused + 1
    if refused == 1 then
      io.stderr:write("first refusal: " .. status .. "\n")
    end
  end
end
