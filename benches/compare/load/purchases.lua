-- wrk's part of benches/compare, benches/promises and benches/ab. With BENCH_BOOKS=N set, each request buys one copy of
-- a random book from 1 to N; it sends no key, so each is an order of its own. At the end one line that a program can
-- read: requests, microseconds, and how many failed (answers other than 2xx and 3xx, and what broke on the way).

local books = tonumber(os.getenv("BENCH_BOOKS"))
if books then
    local purchases = {}

    function init(args)
        local headers = { ["Host"] = wrk.headers["Host"], ["Content-Type"] = "application/json" }
        for book = 1, books do
            local body = '{"book_id":' .. book .. "}"
            purchases[book] = wrk.format("POST", nil, headers, body)
        end
    end

    function request()
        return purchases[math.random(books)]
    end
end

function done(summary)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    print(string.format("COUNTS %d %d %d", summary.requests, summary.duration, failed))
end
