-- wrk's requests: one event each, with an id that never comes twice. Arguments: API key, run name, body before and after the id.
function init(args)
  key, run, before, after = args[1], args[2], args[3], args[4]
  number = 0
  headers = { ["Authorization"] = "Bearer " .. key, ["Content-Type"] = "application/json" }
end

function request()
  number = number + 1
  return wrk.format("POST", "/ingest", headers, before .. run .. "-" .. number .. after)
end
