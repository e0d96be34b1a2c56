-- wrk: one line that a script can read, instead of rounded numbers. `failed`
-- counts answers other than 2xx and 3xx, and what broke on the way.

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    print(string.format("COUNTS %d %d %d", summary.requests, summary.duration, failed))
end
